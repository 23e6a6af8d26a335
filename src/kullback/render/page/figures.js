// Drawing: axes, curves and areas, by attributes of elements that stay.

const SVG = document.querySelector("svg").namespaceURI;
const svg = (name, attributes = {}, parent = null) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (parent) parent.append(node);
  return node;
};

/** Round numbers within a range, a step of 1, 2 or 5 apart. */
function ticks(low, high, most) {
  const rough = (high - low) / Math.max(most, 1), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((v) => v * power).find((v) => v >= rough * (1 - 1e-9));
  const out = [], places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  for (let i = Math.ceil(low / step - 1e-9); i <= high / step + 1e-9; i++) {
    const v = i * step;
    out.push([v, places > 3 && v !== 0 ? Number(v.toPrecision(3)).toExponential().replaceAll("-", "−") : Math.abs(v) >= 1e7 ? short(v, 3) : v.toFixed(places > 3 ? 0 : places).replace(/^-(?=0*\.?0*$)/, "").replace("-", "−")]);
  }
  return out;
}

/** A plot in an svg element: layers in order, and the maps from data to pixels. */
class Plot {
  constructor(root, height, layers, clip) {
    this.root = root; this.height = height; this.axes = ""; this.left = 46; this.word = (text) => text;
    // Read here and where the size changes only: a reading between two writings costs a layout.
    this.width = root.clientWidth || 600;
    root.replaceChildren();
    this.grid = svg("g", {}, root);
    const cut = svg("clipPath", { id: clip }, root);
    this.cut = svg("rect", {}, cut);
    // Within, a unit is a tenth of a pixel: whole numbers are written quickly.
    const inside = svg("g", { transform: "scale(.1)" }, svg("g", { "clip-path": `url(#${clip})` }, root));
    this.layers = Object.fromEntries(layers.map(([name, kind]) => [name, svg("path", { class: kind }, inside)]));
    this.inside = inside;
    this.top = svg("g", {}, root);
    this.note = svg("text", { class: "mid bad", y: 18 }, root);
  }

  /** Sets ranges; draws the axes anew only if something of them changed. */
  frame(x, y, names = null) {
    const { width } = this;
    this.x = x; this.y = y;
    this.sx = (width - this.left - 8) / (x[1] - x[0]); this.sy = (this.height - 32) / (y[1] - y[0]);
    const key = [width, ...x, ...y, names].join();
    if (key === this.axes) return;
    this.axes = key;
    this.root.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.root.setAttribute("height", this.height);
    for (const [name, value] of Object.entries({ x: this.left, y: 4, width: Math.max(width - this.left - 8, 1), height: this.height - 28 })) this.cut.setAttribute(name, value);
    this.grid.replaceChildren();
    const bottom = this.height - 24;
    for (const [v, text] of ticks(y[0], y[1], Math.max(2, this.height / 48))) {
      const at = this.py(v);
      svg("path", { class: v === 0 ? "axis" : "grid", d: `M${this.left},${at}H${width - 8}` }, this.grid);
      svg("text", { class: "end", x: this.left - 6, y: at + 4 }, this.grid).textContent = this.word(text);
    }
    const marks = names || ticks(x[0], x[1], Math.max(2, width / 90));
    for (const [v, text] of marks) {
      const at = this.px(v);
      svg("path", { class: "axis", d: `M${at},${bottom}v4` }, this.grid);
      svg("text", { class: "mid", x: Math.min(Math.max(at, this.left), width - 8 - 3.6 * text.length), y: bottom + 18 }, this.grid).textContent = text;
    }
    svg("path", { class: "axis", d: `M${this.left},${bottom}H${width - 8}` }, this.grid);
  }

  resize() { this.width = this.root.clientWidth || this.width; }

  px(x) { return this.left + (x - this.x[0]) * this.sx; }
  py(y) { return this.height - 24 - (y - this.y[0]) * this.sy; }

  /** A curve, in pieces where it is not finite; closed towards 0 for an area. */
  curve(xs, ys, closed = false) {
    const base = Math.round(10 * this.py(Math.min(Math.max(0, this.y[0]), this.y[1]))), n = xs.length;
    const lowest = 10 * this.height + 600, highest = -600, down = 10 * (this.height - 24 + this.y[0] * this.sy), right = 10 * (this.left - this.x[0] * this.sx);
    let d = "", open = false, last = 0;
    for (let i = 0; i < n; i++) {
      const y = ys[i];
      if (!(y - y === 0)) { if (open && closed) d += `L${last},${base}Z`; open = false; continue; }
      last = Math.round(right + 10 * this.sx * xs[i]);
      let to = Math.round(down - 10 * this.sy * y);
      to = to > lowest ? lowest : to < highest ? highest : to;
      if (open) d += `L${last},${to}`;
      else { d += closed ? `M${last},${base}L${last},${to}` : `M${last},${to}`; open = true; }
    }
    return open && closed ? `${d}L${last},${base}Z` : d;
  }

  /** Bars of masses. */
  bars(xs, ys, width, shift) {
    let d = "";
    const tenth = (v) => Math.round(10 * v), base = tenth(this.py(0)), w = tenth(width * this.sx);
    xs.forEach((x, i) => {
      if (Number.isFinite(ys[i]) && ys[i] !== 0) d += `M${tenth(this.px(x + shift - width / 2))},${base}V${tenth(this.py(ys[i]))}h${w}V${base}Z`;
    });
    return d;
  }

  /** Shades stretches of x over the whole height, and says why above the first. */
  shade(stretches, why) {
    const bottom = 10 * (this.height - 24), tenth = (v) => Math.round(10 * this.px(v));
    this.set("missing", stretches.map(([a, b]) => `M${tenth(a)},40H${tenth(b)}V${bottom}H${tenth(a)}Z`).join(""));
    this.note.textContent = stretches.length ? why : "";
    if (!stretches.length) return;
    const half = 3.8 * why.length, at = this.px(0.5 * (stretches[0][0] + stretches[0][1]));
    this.note.setAttribute("x", Math.min(Math.max(at, this.left + half), this.width - 8 - half));
  }

  set(name, d) { this.layers[name].setAttribute("d", d); }
}
