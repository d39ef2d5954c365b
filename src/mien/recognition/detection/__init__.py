"""Where faces are: YuNet, Haar cascade, MTCNN, and faces in photos that lie on their side."""
