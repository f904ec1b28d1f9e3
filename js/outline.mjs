// Makes the outline of the world for the map app: Natural Earth 1:50m (public domain), as npm's world-atlas 2 (ISC) packs
// it, thinned and written compactly into the app's HTML. Run once; the result is in git.
//
//   npm pack world-atlas@2.0.2 && tar xf world-atlas-2.0.2.tgz
//   node outline.mjs package/countries-50m.json ../pmcp_lab/demo/map/widget.html
//
// Borders stay shared: each arc is thinned by itself (Visvalingam), so both its countries still fit.
import { readFileSync, writeFileSync } from "node:fs";

const DEGREES = 100; // units of what is written
const SMALLEST = 0.018; // square degrees of a corner that is kept
const ISLET = 0.03; // square degrees of an island that is kept, where a country has others

const [source, target] = process.argv.slice(2);
const atlas = JSON.parse(readFileSync(source, "utf8"));
const { scale, translate } = atlas.transform;

const arcs = atlas.arcs.map((arc) => {
  let [x, y] = [0, 0];
  return arc.map(([dx, dy]) => {
    x += dx;
    y += dy;
    return [x * scale[0] + translate[0], y * scale[1] + translate[1]];
  });
});

const area = ([a, b], [c, d], [e, f]) => Math.abs((c - a) * (f - b) - (e - a) * (d - b)) / 2;

function thin(points) {
  const left = points.slice();
  // Degrees are narrower towards the poles.
  const wide = ([, lat]) => Math.max(0.15, Math.cos((lat * Math.PI) / 180));
  while (left.length > 2) {
    let least = 0;
    let at = 0;
    for (let n = 1; n < left.length - 1; n++) {
      const size = area(left[n - 1], left[n], left[n + 1]) * wide(left[n]);
      if (at === 0 || size < least) [least, at] = [size, n];
    }
    if (least >= SMALLEST || (left.length <= 4 && closed(points))) break;
    left.splice(at, 1);
  }
  return left;
}

const closed = (points) => `${points[0]}` === `${points.at(-1)}`;

function ringSize(ring) {
  const points = ring.flatMap((n) => (n < 0 ? arcs[~n].toReversed() : arcs[n]));
  const sum = points.reduce((total, [x, y], n) => {
    const [next, after] = points[(n + 1) % points.length];
    return total + x * after - next * y;
  }, 0);
  return Math.abs(sum / 2);
}

const thinned = arcs.map(thin);

/** The rings of the atlas run over the edge of the map at 180°; cuts one there, if it does. Null: it does not. */
function cut(ring) {
  const points = ring.flatMap((n, at) =>
    (n < 0 ? thinned[~n].toReversed() : thinned[n]).slice(at ? 1 : 0),
  );
  let turn = 0;
  const unrolled = points.map(([lon, lat], n) => {
    if (n) turn -= 360 * Math.round((lon - points[n - 1][0]) / 360);
    return [lon + turn, lat];
  });
  const [first, last] = [unrolled[0], unrolled.at(-1)];
  if (Math.abs(last[0] - first[0]) > 180) {
    // Around the pole, of which only the southern has land: down its meridian and back.
    const along = Array.from({ length: 37 }, (_, n) => [
      last[0] + ((first[0] - last[0]) * n) / 36,
      -90,
    ]);
    unrolled.push(...along);
  }
  if (unrolled.every(([lon], n) => lon === points[n]?.[0])) return null;
  return [-360, 0, 360]
    .map((shift) =>
      clip(
        clip(
          unrolled.map(([lon, lat]) => [lon + shift, lat]),
          1,
        ),
        -1,
      ),
    )
    .filter((piece) => piece.length > 2);
}

/** The part of a ring on one side of 180° east (1) or west (-1). */
function clip(ring, sign) {
  const inside = ([lon]) => sign * lon <= 180;
  return ring.flatMap((point, n) => {
    const before = ring.at(n - 1);
    const part = (sign * 180 - before[0]) / (point[0] - before[0]);
    const edge = [sign * 180, before[1] + part * (point[1] - before[1])];
    if (inside(point)) return inside(before) ? [point] : [edge, point];
    return inside(before) ? [edge] : [];
  });
}

const lines = [];
const used = new Map();
const line = (points) => lines.push(points) - 1;
function shared(n) {
  if (!used.has(n)) used.set(n, line(thinned[n]));
  return used.get(n);
}

const countries = atlas.objects.countries.geometries
  .map(({ type, arcs: shape, properties }) => {
    const rings = (type === "Polygon" ? [shape] : shape).flat();
    const largest = Math.max(...rings.map(ringSize));
    return [properties.name, rings.filter((ring) => ringSize(ring) >= Math.min(ISLET, largest))];
  })
  .sort(([a], [b]) => a.localeCompare(b, "en"))
  .map(([name, rings]) => [
    name,
    ...rings.flatMap((ring) => {
      const pieces = cut(ring);
      if (pieces) return pieces.map((piece) => [line(piece)]);
      return [ring.map((n) => (n < 0 ? ~shared(~n) : shared(n)))];
    }),
  ]);

// Differences, each in base 32 with a bit that says whether more follows: nothing that JSON or HTML would have to escape.
function digits(value) {
  let left = value < 0 ? ~(value << 1) : value << 1;
  let text = "";
  for (; left >= 32; left >>= 5) text += letter(32 | (left & 31));
  return text + letter(left);
}
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const letter = (n) => LETTERS[n];

const written = lines.map((points) => {
  let [x, y] = [0, 0];
  return points
    .map(([lon, lat]) => {
      const [to, up] = [Math.round(lon * DEGREES), Math.round(lat * DEGREES)];
      const text = digits(to - x) + digits(up - y);
      [x, y] = [to, up];
      return text;
    })
    .join("");
});

const outline = JSON.stringify({ degrees: DEGREES, arcs: written, countries });
const place = /(<script type="application\/json" id="outline">)[^<]*/;
const page = readFileSync(target, "utf8");
writeFileSync(
  target,
  page.replace(place, (_, start) => start + outline),
);
process.stdout.write(
  `${countries.length} countries, ${written.length} lines, ${(outline.length / 1024).toFixed(0)} KB\n`,
);
