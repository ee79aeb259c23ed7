"""People's own images: label formats, data sets, checks, augmentation.

A data set is a YAML file that says where the images and labels of its splits are; paths start from the file's folder:

    format: yolo                  # of the labels: csv, yolo or dota
    train: {images: images/train, labels: labels/train}
    validation: {images: images/val, labels: labels/val}
    test: {images: images/test, labels: labels/test}
    has_heading: true                 # the order of the corners, or the yaw, says where the nose is; false: axes alone
    multiple_objects: error                # or largest: keep the largest of several objects
    intensity_range: [0, 4095]          # pixel values that become 0 and 1; left out: the full scale of the files' type

Where all images are in one folder, fractions of the train split, always the same images, take the others' places:

    held_out: {validation: 0.1, test: 0.2}

images: a folder of PNG, JPEG, TIFF, BMP or NPY files, with its subfolders.
labels: csv:  one file that begins with the line image,x,y,yaw,width,height, in any order, perhaps with further columns,
              which are passed over; pixels and radians, blanks: no object; splits may share it
        yolo: a folder, NAME.txt for NAME.png with a line class x1 y1 x2 y2 x3 y3 x4 y4, divided by the image's width
              and height, perhaps outside [0, 1]; no line, or no file: no object; classes.txt is passed over
        dota: the same with x1 y1 x2 y2 x3 y3 x4 y4 category [difficulty], in pixels; the lines imagesource: and gsd:
              are passed over
The first two corners are the nose. Yaw: the nose points to (sin yaw, cos yaw), x to the right and y down. Without a
heading, the longer extent is the height, and yaw an axis in (-pi/2, pi/2].
"""
