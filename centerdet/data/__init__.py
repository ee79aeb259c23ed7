"""Own images: label formats, data sets, checks, augmentation, training crops.

A data set is a YAML file that names the images and labels of its splits. Paths are relative to the file:

    format: yolo                  # format of the labels, one of those below
    train: {images: images/train, labels: labels/train}
    validation: {images: images/val, labels: labels/val}
    test: {images: images/test, labels: labels/test}
    has_heading: true             # the order of the corners, or the yaw, tells nose from tail; false: axes only
    nose: top                     # or right, bottom, left: the side of a drawn box, before its turn, that is the nose
    multiple_objects: error       # or largest: keep the largest of several objects in an image
    intensity_range: [0, 4095]    # pixel values that become 0 and 1; left out: the full scale of the files' type

If all images are in one folder, held_out takes fractions of the train split, always the same images:

    held_out: {validation: 0.1, test: 0.2}

A data.yaml of Ultralytics or Roboflow (path, train, val, test, names) is read as it is. Its boxes have no heading
unless it says has_heading: true; nose, multiple_objects and intensity_range may stand there too.

images: a folder of PNG, JPEG, TIFF, BMP or NPY files, with its subfolders; or a .txt file with one image per line; or a
        list of these.
labels: csv:  one file with the header image,x,y,yaw,width,height, in any order; further columns are ignored. Units are
              pixels and radians; blanks mean "no object". Splits may share the file.
        yolo: a folder with NAME.txt for NAME.png. A line is class x1 y1 x2 y2 x3 y3 x4 y4, divided by the image's
              width and height; values may be outside [0, 1]. An empty or missing file means "no object".
              classes.txt is ignored.
        dota: as yolo, but a line is x1 y1 x2 y2 x3 y3 x4 y4 category [difficulty], in pixels. Lines that begin with
              imagesource: or gsd: are ignored.
        label-studio: the file of the export "JSON". Each image has one annotation; an empty one means "no object".
        cvat: the file of the export "CVAT for images 1.1".
        labelme, x-anylabeling: a folder with NAME.json; oriented rectangles, or rotated boxes. No file: no object.
        labelimg2, rolabelimg: a folder with NAME.xml. roLabelImg needs has_heading: false, since its angles end at half
              a turn.
The first two corners are the nose; in boxes with an angle, it is the top before the turn; in labelme, the side to which
the arrow points. The heading points to (sin yaw, cos yaw), x to the right and y down. Without a
heading, the height is the longer extent, and yaw is an axis in (-pi/2, pi/2].
"""
