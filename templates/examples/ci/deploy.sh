#!/bin/sh
# Deploys an image with its settings and scale, and ends when that serves. Run it as often as you like: a step that
# finds everything as it should be makes no release and ends with 0. A release that does not come up ends with 8,
# and the one before goes on.
#
#   FLYNN_CLUSTER   the string that `flynn cluster bootstrap` printed
#   FLYNN_SSH_KEY   text of the private key whose public half `prepare.sh` let in
#   FLYNN_APP       name of the app
#   IMAGE           image to run; GREETING, WEB: a variable of the app, and how many of its web processes run
set -eu

flynn deploy --image "$IMAGE"
flynn env:set "GREETING=${GREETING:-Hello}"
flynn scale "web=${WEB:-2}"
