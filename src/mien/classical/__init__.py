"""Classical classifiers on hand-made features: PCA or HOG before a support vector machine or nearest neighbours."""
