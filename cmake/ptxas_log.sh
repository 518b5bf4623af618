#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a compilation by nvcc and keeps what ptxas says beside the object, for scripts/cuda-resources.
object=
before=
for word; do
  [ "$before" = -o ] && object=$word
  before=$word
done
[ -n "$object" ] || exec "$@"
"$@" >"$object.ptxas" 2>&1
status=$?
cat "$object.ptxas" >&2
exit $status
