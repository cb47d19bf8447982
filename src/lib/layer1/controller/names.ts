// Pleasant names for apps that were given none.
import { randomInt, pick, type Rng } from '../../util/rng.js';

const adjectives =
  'amber brave breezy bright calm clear clever copper coral crisp dewy eager early fair fancy fleet fresh gentle golden grand happy hardy honest humble jolly keen kind light lively lucky mellow merry mild misty noble olive patient plucky polite proud quick quiet rapid rosy round sandy silent silver sleek smooth snowy solid spry steady sturdy sunny sure swift tidy tranquil vivid warm wise witty young'.split(
    ' ',
  );
const nouns =
  'acorn anchor aspen badger bay beacon birch bison bridge brook canyon cedar cliff clover comet coral cove crane creek delta dune elm falcon fern field finch fjord forest fox garden glade grove harbor hawk hazel heron hill island juniper lagoon lake lantern lark maple marsh meadow moon moss oak orchard otter owl panda pebble pine plover pond prairie quail raven reef ridge river robin sail sparrow spring spruce star stone stream summit swan thicket tide trail valley willow wren'.split(
    ' ',
  );

/** A name such as `calm-otter-4711`. */
export function randomName(rng: Rng): string {
  return `${pick(rng, adjectives) ?? 'calm'}-${pick(rng, nouns) ?? 'otter'}-${1000 + randomInt(rng, 9000)}`;
}
