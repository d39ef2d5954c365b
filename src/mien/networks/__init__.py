"""Networks in PyTorch: those of the five systems, residual ones, torchvision's, and one with a head per corpus."""
