"""People in a stream of frames: detections linked over time, probabilities smoothed."""
