// An app's image: the slugrunner's with one more layer. Pure.
import { FlynnError } from '../../api/errors.js';
import {
  configType,
  digestOf,
  layerType,
  manifestType,
  type Descriptor,
  type Manifest,
} from '../registry/client.js';

/** The parts of an image's config that matter here; the rest is passed on as it is. */
export interface ImageConfig {
  architecture: string;
  os: string;
  created?: string;
  config?: Record<string, unknown>;
  rootfs: { type: 'layers'; diff_ids: string[] };
  history?: { created?: string; created_by?: string; empty_layer?: boolean; comment?: string }[];
}

/** A slug as it came out of the builder and went into the registry. */
export interface SlugLayer {
  /** Digest of the compressed layer. */
  digest: string;
  size: number;
  /** Digest of the tar inside. */
  diffId: string;
}

/** Config and manifest of base + slug, as text to be stored; equal input gives equal text, so equal digests. */
export function appImage(
  base: { manifest: Manifest; config: ImageConfig },
  slug: SlugLayer,
  labels: Record<string, string>,
): { config: string; manifest: string } {
  if (base.config.rootfs.diff_ids.length !== base.manifest.layers.length) {
    throw new FlynnError({
      code: 'internal',
      message: 'the slugrunner image has a config that does not fit its manifest',
    });
  }
  const config: ImageConfig = {
    ...base.config,
    config: {
      ...base.config.config,
      Labels: { ...(base.config.config?.Labels as Record<string, string> | undefined), ...labels },
    },
    rootfs: { type: 'layers', diff_ids: [...base.config.rootfs.diff_ids, slug.diffId] },
    history: [...(base.config.history ?? []), { created_by: 'flynn slug', comment: 'the app' }],
  };
  const configText = JSON.stringify(config);
  const layer: Descriptor = { mediaType: layerType, digest: slug.digest, size: slug.size };
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: configType, digest: digestOf(configText), size: Buffer.byteLength(configText) },
    layers: [...base.manifest.layers, layer],
  };
  return { config: configText, manifest: JSON.stringify(manifest) };
}
