// SPDX-License-Identifier: Apache-2.0
// Everything of upconv::core. upconv::io adds upconv/io.h.
#pragma once

#include "upconv/activation.h"
#include "upconv/config.h"
#include "upconv/constraint.h"
#include "upconv/conv2d_transpose.h"
#include "upconv/conv_transpose.h"
#include "upconv/convert.h"
#include "upconv/custom.h"
#include "upconv/error.h"
#include "upconv/initializer.h"
#include "upconv/layer.h"
#include "upconv/loss.h"
#include "upconv/metric.h"
#include "upconv/model.h"
#include "upconv/optimizer.h"
#include "upconv/regularizer.h"
#include "upconv/runtime.h"
#include "upconv/tensor.h"
#include "upconv/training.h"
