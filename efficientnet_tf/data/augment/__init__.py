"""Random changes of training images: policies, their operators, and mixing of images.

A run's augmentation is a `plan.Plan`: a list of all actions that can happen, each with
its table. `draws` draws numbers of actions, and `application` applies them, on the host
to one image or on the device to a batch. All arithmetic of floats that decides a pixel
happens in NumPy, in the tables. What TensorFlow computes, and compilers may reorder, is
exact. So host and device, compiled or not, return the same images.
"""
