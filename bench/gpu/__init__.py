# SPDX-License-Identifier: Apache-2.0
"""What bench/gpu_suite is made of."""
