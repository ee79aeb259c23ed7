"""People's own images: label formats, data sets, checks, augmentation.

A data set is a YAML file that says where the images and labels of its splits are; paths start from the file's folder:

    format: yolo                  # of the labels: csv, yolo or dota
    train: {images: images/train, labels: labels/train}
    validation: {images: images/val, labels: labels/val}
    test: {images: images/test, labels: labels/test}
    heading: true                 # the order of the corners, or the yaw, says where the nose is; false: axes alone
    several: error                # or largest: keep the largest of several objects
    intensity: [0, 4095]          # pixel values that become 0 and 1; left out: the full scale of the files' type

images: a folder of PNG, JPEG, TIFF, BMP or NPY files, with its subfolders.
labels: csv:  one file, image,x,y,yaw,width,height with this header; pixels and radians, blanks: no object
        yolo: a folder, NAME.txt for NAME.png, class x1 y1 x2 y2 x3 y3 x4 y4, divided by width and height
        dota: the same, x1 y1 x2 y2 x3 y3 x4 y4 category [difficulty] in pixels
The first two corners are the nose. Yaw: the nose points to (sin yaw, cos yaw), x to the right and y down.
"""
