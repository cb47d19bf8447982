// The lab: several plain Debian hosts on one machine, each a container with sshd and its own Docker engine.
export { labUp } from './up.js';
export { labDown, labStatus, type LabDownResult } from './down.js';
export {
  heal,
  isolate,
  killHost,
  labExec,
  partition,
  pauseHost,
  startHost,
  unpauseHost,
  type HostChange,
  type LabExecOptions,
} from './control.js';
export { ensureEngine } from './engine.js';
export { DEBIAN_IMAGE, ensureBaseImages, NODE_IMAGE, type BaseImages } from './base-images.js';
export { buildImage, saveImages, type BuildOptions } from './images.js';
export { linesTo, type LineSink } from './report.js';
export type { Finished } from './process.js';
export type {
  Lab,
  LabEvent,
  LabHost,
  LabHostState,
  LabRef,
  LabReport,
  LabStatus,
  LabUpOptions,
  LabVariant,
} from './types.js';
export { labBaseImages, labBundle, labImage } from './bundle.js';
export { bootstrapArgs, bootstrapLab, labEnv } from './grid.js';
export { startLoad, type Load, type LoadFailure, type LoadOptions, type LoadResult } from './load.js';
export { packageRoot } from '../util/package-root.js';
