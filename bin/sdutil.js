#!/usr/bin/env node
// sdutil as the package installs it: the bundle that jobs and hosts have, too.
import '../dist/sdutil/sdutil.cjs';
