"""glia: a workbench for neural networks on PyTorch."""
