"""Own images: label formats, data sets, checks, augmentation, training crops.

A data set is a YAML file that names the images and labels of its splits. Paths are relative to the file:

    format: yolo                  # format of the labels: csv, yolo or dota
    train: {images: images/train, labels: labels/train}
    validation: {images: images/val, labels: labels/val}
    test: {images: images/test, labels: labels/test}
    has_heading: true             # the order of the corners, or the yaw, tells nose from tail; false: axes only
    multiple_objects: error       # or largest: keep the largest of several objects in an image
    intensity_range: [0, 4095]    # pixel values that become 0 and 1; left out: the full scale of the files' type

If all images are in one folder, held_out takes fractions of the train split, always the same images:

    held_out: {validation: 0.1, test: 0.2}

images: a folder of PNG, JPEG, TIFF, BMP or NPY files, with its subfolders.
labels: csv:  one file with the header image,x,y,yaw,width,height, in any order; further columns are ignored. Units are
              pixels and radians; blanks mean "no object". Splits may share the file.
        yolo: a folder with NAME.txt for NAME.png. A line is class x1 y1 x2 y2 x3 y3 x4 y4, divided by the image's
              width and height; values may be outside [0, 1]. An empty or missing file means "no object".
              classes.txt is ignored.
        dota: as yolo, but a line is x1 y1 x2 y2 x3 y3 x4 y4 category [difficulty], in pixels. Lines that begin with
              imagesource: or gsd: are ignored.
The first two corners are the nose. The heading points to (sin yaw, cos yaw), x to the right and y down. Without a
heading, the height is the longer extent, and yaw is an axis in (-pi/2, pi/2].
"""
