"""TF-native building blocks: layers, ASPP, DeepLabV3 and DeepLabV3+."""
