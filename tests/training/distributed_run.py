"""Train a recipe on two devices of one machine: `python distributed_run.py RECIPE.json FOLDER`.

TensorFlow makes two devices of one CPU, if it is told so before it has computed anything.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from registry.backend import tf
from registry.errors import TrainingError
from registry.training import train

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
recipe = json.loads(Path(sys.argv[1]).read_text())
recipe["distribution"] = {"strategy": "mirrored", "devices": ["CPU:0", "CPU:1"]}
try:
    train({**recipe, "batch_size": 3}, sys.argv[2], progress=False)
except TrainingError as error:
    print(error)
train(recipe, sys.argv[2], progress=False, restart=True)
