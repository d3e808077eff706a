"""The engine: modular training, extraction and composition. PyTorch only."""
