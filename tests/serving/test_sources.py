"""What a folder, a CSV file and records have to offer."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image

from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.errors import UserError
from daaf_tf.serving import sources
