#!/bin/sh
# Makes an app ready for CI: the app, and a key that may deploy and change it and nothing else.
# Run it as often as you like: what is there already stays as it is.
#
#   FLYNN_CLUSTER   the string that `flynn cluster bootstrap` printed
#   FLYNN_SSH_KEY   text of an admin's private key
#   FLYNN_APP       name of the app
#   CI_PUBLIC_KEY   file of the public key that the CI job will have
set -eu

flynn apps:create "$FLYNN_APP" --if-missing --no-remote
flynn keys:add "$CI_PUBLIC_KEY" --name "ci of $FLYNN_APP" --role developer --app "$FLYNN_APP"
