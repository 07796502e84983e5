"use strict";
// Draws #chart-data with uPlot. Everything that came from outside is set as text, never as HTML.
(() => {
  const source = document.getElementById("chart-data");
  const root = document.getElementById("charts");
  if (!root) return;
  const data = JSON.parse(source.textContent);
  const COLOURS = 8, DASHES = [[], [6, 4], [2, 3], [9, 3, 2, 3], [14, 4]], HEIGHT = 230;
  const AXES = { step: "step", tokens: "tokens", seconds: "time" };
  const several = data.runs.length > 1;
  const drawn = [];                       // {plot, chart, button}
  const hidden = new Set();               // "chart/series" that the reader has switched off
  const hiddenRuns = new Set();
  let axis = "step", smoothing = 0, zoomed = false, domain = [0, 1]; // of all charts

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const element = (tag, text, parent) => {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };

  // --- numbers as text
  const significant = (value) => {
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(2);
    return value.toLocaleString("en", { maximumSignificantDigits: size >= 1e4 ? 6 : 4 });
  };
  const compact = (value) => {
    const size = Math.abs(value);
    if (size !== 0 && size < 1e-3) return value.toExponential().replace(/(\.\d\d)\d+/, "$1");
    return size >= 1e4
      ? value.toLocaleString("en", { notation: "compact", maximumSignificantDigits: 4 })
      : value.toLocaleString("en", { maximumSignificantDigits: 5 });
  };
  const percent = (value) => (100 * value).toLocaleString("en", { maximumSignificantDigits: 4 }) + " %";
  const clock = (seconds) => {
    const whole = Math.round(seconds), pad = (number) => String(number).padStart(2, "0");
    return `${Math.floor(whole / 3600)}:${pad(Math.floor(whole / 60) % 60)}:${pad(whole % 60)}`;
  };
  const along = (value) => (axis === "seconds" ? clock(value) : axis === "tokens" ? compact(value) : Math.round(value).toLocaleString("en"));

  // --- from steps to the chosen axis, and smoothing
  const place = (run, steps) => {
    const table = data.runs[run][axis];
    if (axis === "step" || !table) return steps;
    const [known, values] = table;
    let right = 0;
    return steps.map((step) => {
      while (right < known.length - 1 && known[right] < step) right += 1;
      const left = Math.max(0, right - 1);
      if (known[right] === known[left]) return values[right];
      const share = Math.min(1, Math.max(0, (step - known[left]) / (known[right] - known[left])));
      return values[left] + share * (values[right] - values[left]);
    });
  };
  const smooth = (values) => {            // exponential moving average, corrected for its beginning
    if (!smoothing || values.length < 8) return values;
    let sum = 0, weight = 0;
    return values.map((value) => {
      sum = smoothing * sum + (1 - smoothing) * value;
      weight = smoothing * weight + 1 - smoothing;
      return sum / weight;
    });
  };

  // --- how a curve looks: of several runs each has a colour; in a single one the splits have, else every curve
  const look = (chart, series, number) => {
    const labels = [...new Set(chart.series.map((other) => other.label))];
    const splits = [...new Set(chart.series.map((other) => other.split))];
    const both = splits.length > 1;
    const colour = several ? series.run : both ? splits.indexOf(series.split) : number;
    const dash = several || both ? labels.indexOf(series.label) : Math.floor(number / COLOURS);
    const quiet = both && several && series.split === "train";
    return { colour: colour % COLOURS, dash: DASHES[dash % DASHES.length], width: quiet ? 1 : 1.8, alpha: quiet ? 0.6 : 1 };
  };
  const name = (chart, series) => {
    const splits = { train: "training", val: "held out", test: "test" };
    const parts = [splits[series.split] || "", series.label];
    if (several) parts.unshift(data.runs[series.run].name);
    const text = parts.filter(Boolean).join(" · ");
    return text || "value";
  };

  const shown = (chart) => (chart.share ? percent : significant);
  const isNumber = (chart) => chart.series.every((one) => one.x.length <= 1); // nothing to draw
  const ends = (chart) => {               // of the other axis; what cannot be more than 1 has no room above
    if (chart.log) return { distr: 3 };
    const most = Math.max(...chart.series.flatMap((one) => one.y));
    if (!chart.bounded || most > 1) return {};
    return { range: (plot, low, high) => {
      if (low == null) return [0, 1];
      const [from, to] = uPlot.rangeNum(low, high, 0.1, true);
      return [low >= 0 ? Math.max(0, from) : Math.max(-1, from), Math.min(1, to)];
    } };
  };

  // --- where a run continued with longer sequences: a line across the chart, and what changed
  const phases = (plot, chart) => {
    const runs = [...new Set(chart.series.map((one) => one.run))].filter((run) => !hiddenRuns.has(run));
    const { ctx, bbox } = plot, unit = devicePixelRatio, drawnAt = new Set();
    ctx.save();
    ctx.font = `${11 * unit}px system-ui, sans-serif`;
    ctx.lineWidth = unit;
    ctx.setLineDash([5 * unit, 4 * unit]);
    [ctx.textBaseline, ctx.textAlign] = ["top", "left"];
    for (const run of runs) for (const { step, label } of data.runs[run].phases) {
      const x = Math.round(plot.valToPos(place(run, [step])[0], "x", true)), key = `${x}/${label}`;
      if (x < bbox.left || x > bbox.left + bbox.width || drawnAt.has(key)) continue;
      const top = bbox.top + (drawnAt.size % 4) * 15 * unit, width = ctx.measureText(label).width;
      const isLeft = x + width + 6 * unit > bbox.left + bbox.width;
      drawnAt.add(key);
      ctx.strokeStyle = css("--muted");
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      const left = isLeft ? x - width - 4 * unit : x + 4 * unit;
      ctx.fillStyle = css("--card");
      ctx.fillRect(left - unit, top, width + 2 * unit, 13 * unit);
      ctx.fillStyle = css("--ink");
      ctx.fillText(label, left, top + unit);
    }
    ctx.restore();
  };

  const options = (chart, width, box) => {
    const show = shown(chart);
    const text = { stroke: () => css("--muted"), font: "12px system-ui, sans-serif", grid: { stroke: () => css("--line"), width: 0.6 }, ticks: { stroke: () => css("--line"), width: 0.6, size: 4 } };
    const series = [{ label: AXES[axis], value: (plot, value) => (value == null ? "" : along(value)) }];
    chart.series.forEach((one, number) => {
      const { colour, dash, width: thick, alpha } = look(chart, one, number);
      series.push({
        label: name(chart, one), stroke: () => css(`--c${colour}`), width: thick, alpha, dash, spanGaps: true,
        show: !hidden.has(`${chart.id}/${number}`) && !hiddenRuns.has(one.run),
        points: { show: one.x.length <= 30, size: one.x.length === 1 ? 8 : 5, fill: () => css(`--c${colour}`) },
        value: (plot, value) => (value == null ? "–" : show(value)),
      });
    });
    for (const line of chart.lines || [])
      series.push({ label: line.label, stroke: () => css("--muted"), width: 1, dash: [4, 4], spanGaps: true, points: { show: false }, value: () => significant(line.y) });
    return {
      width, height: HEIGHT, series,
      scales: { x: { time: false }, y: ends(chart) },
      axes: [
        { ...text, values: (plot, ticks) => ticks.map((tick) => (axis === "step" ? compact(tick) : along(tick))), space: 70, size: 30 },
        { ...text, values: (plot, ticks) => ticks.map((tick) => (tick == null ? "" : chart.share ? percent(tick) : compact(tick))), size: (plot, values) => 16 + 7 * Math.max(3, ...(values || []).map((value) => value.length)), space: 34 },
      ],
      cursor: { sync: { key: "cloze" }, drag: { x: true, y: false }, points: { size: 8 }, dataIdx: nearest, bind: { dblclick: () => () => { whole(); return null; } } },
      legend: { live: true, markers: { width: 3 } },
      hooks: {
        draw: [(plot) => phases(plot, chart)],
        setScale: [(plot, key) => { if (key === "x") zoom(plot); }],
        setSeries: [(plot, index, change) => {
          if (index == null || change.show == null) return;
          const id = `${chart.id}/${index - 1}`;
          if (change.show) hidden.delete(id); else if (!quietly) hidden.add(id);
        }],
        setCursor: [(plot) => { if (plot.cursor.left < 0) plot.setLegend({ idxs: plot.data.map((values) => last(values)) }, false); }],
        ready: [(plot) => { touch(plot); keys(box); plot.setLegend({ idxs: plot.data.map((values) => last(values)) }, false); }],
      },
    };
  };
  let quietly = false;                    // while runs are switched, single curves keep what the reader chose
  const last = (values) => { for (let index = values.length - 1; index > 0; index -= 1) if (values[index] != null) return index; return 0; };
  const nearest = (plot, series, index) => { // of curves that are logged rarely, the nearest point
    const values = plot.data[series], x = plot.data[0];
    if (index == null || series === 0 || values[index] != null) return index;
    let left = index, right = index;
    while (left >= 0 && values[left] == null) left -= 1;
    while (right < values.length && values[right] == null) right += 1;
    if (left < 0) return right < values.length ? right : index;
    if (right >= values.length) return left;
    return x[index] - x[left] <= x[right] - x[index] ? left : right;
  };

  // --- data of a chart as uPlot wants it: one x for all curves
  const table = (chart) => {
    const tables = chart.series.map((one) => {
      const x = place(one.run, one.x), kept = x.map((value, index) => index === 0 || value > x[index - 1]);
      return [x.filter((_, index) => kept[index]), smooth(one.y).filter((_, index) => kept[index])];
    });
    const ends = tables.flatMap(([x]) => [x[0], x[x.length - 1]]).filter((value) => value != null);
    const low = Math.min(...ends), high = Math.max(...ends);
    for (const line of chart.lines || []) tables.push(low < high ? [[low, high], [line.y, line.y]] : [[low], [line.y]]);
    return uPlot.join(tables);
  };

  // --- zoom: all charts share it (uPlot hands the dragged stretch on); a button goes back
  const reset = document.getElementById("reset");
  const zoom = (plot) => {
    const { min, max } = plot.scales.x, x = plot.data[0];
    if (!x.length || min == null) return;
    zoomed = min > domain[0] || max < domain[1];
    reset.disabled = !zoomed;
  };
  const whole = () => drawn.forEach(({ plot }) => plot.setScale("x", { min: domain[0], max: domain[1] }));
  reset.addEventListener("click", whole);

  // --- touch: one finger reads, two fingers zoom
  const touch = (plot) => {
    let pinch = null;
    const at = (finger) => finger.clientX - plot.over.getBoundingClientRect().left;
    plot.over.addEventListener("touchstart", (event) => {
      if (event.touches.length !== 2) return;
      const [a, b] = [...event.touches].map(at).sort((p, q) => p - q);
      pinch = { a: plot.posToVal(a, "x"), b: plot.posToVal(b, "x") };
      event.preventDefault();
    }, { passive: false });
    plot.over.addEventListener("touchmove", (event) => {
      if (event.touches.length === 1 && !pinch) {
        plot.setCursor({ left: at(event.touches[0]), top: 10 });
      } else if (event.touches.length === 2 && pinch) {
        event.preventDefault();
        const [a, b] = [...event.touches].map(at).sort((p, q) => p - q), width = plot.over.clientWidth;
        if (b - a < 12) return;
        const scale = (pinch.b - pinch.a) / (b - a), min = pinch.a - a * scale;
        drawn.forEach((other) => {
          other.plot.setScale("x", { min: Math.max(domain[0], min), max: Math.min(domain[1], min + width * scale) });
        });
      }
    }, { passive: false });
    plot.over.addEventListener("touchend", (event) => { if (!event.touches.length) pinch = null; });
  };
  const keys = (box) => box.querySelectorAll(".u-legend .u-series:not(:first-child) th").forEach((head) => {
    head.tabIndex = 0;
    head.setAttribute("role", "button");
    head.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); head.click(); } });
  });

  // --- a value that was logged once is read, not drawn
  const numbers = (chart) => {
    chart.box.classList.add("number-of-one");
    const list = element("dl", "", chart.box);
    for (const one of chart.series) {
      const row = element("div", "", list), term = element("dt", "", row);
      if (several) element("i", "", term).className = `dot c${one.run % COLOURS}`;
      const text = name(chart, one);
      term.append(text === "value" ? `step ${one.x[0]}` : text);
      element("dd", one.y.length ? shown(chart)(one.y[0]) : "not finite", row);
    }
  };

  // --- the page
  const groups = new Map();
  data.charts.forEach((chart, number) => {
    chart.id = number;
    if (!groups.has(chart.section)) {
      const head = element("h3", chart.section, root);
      head.className = "group";
      const grid = element("div", "", root);
      grid.className = "charts";
      groups.set(chart.section, grid);
    }
    chart.box = element("div", "", groups.get(chart.section));
    chart.box.className = "chart";
    const head = element("h4", chart.title, chart.box);
    if (isNumber(chart)) { numbers(chart); return; }
    const button = element("button", "log", head);
    button.type = "button";
    button.title = "logarithmic scale";
    button.setAttribute("aria-pressed", String(chart.log));
    button.disabled = chart.series.some((one) => one.y.some((value) => value <= 0));
    if (button.disabled) { chart.log = false; button.setAttribute("aria-pressed", "false"); }
    button.addEventListener("click", () => { chart.log = !chart.log; button.setAttribute("aria-pressed", String(chart.log)); draw(); });
    const lost = chart.series.reduce((sum, one) => sum + (one.lost || 0), 0);
    chart.area = element("div", "", chart.box);
    chart.area.setAttribute("role", "img");
    chart.area.setAttribute("aria-label", chart.title);
    if (lost) element("p", `${lost} values are not finite and left out`, chart.box).className = "note";
  });

  const draw = () => {
    const kept = zoomed && drawn.length ? { min: drawn[0].plot.scales.x.min, max: drawn[0].plot.scales.x.max } : null;
    drawn.splice(0).forEach(({ plot }) => plot.destroy());
    const charts = data.charts.filter((chart) => !isNumber(chart)), tables = charts.map(table);
    const sides = tables.flatMap(([x]) => (x.length ? [x[0], x[x.length - 1]] : []));
    domain = [Math.min(...sides), Math.max(...sides)];
    if (domain[0] === domain[1]) domain = [domain[0] - 1, domain[1] + 1];
    charts.forEach((chart, number) => {
      const values = tables[number];
      if (!values[0].length) { if (!chart.area.firstChild) element("p", "no finite value", chart.area).className = "note"; return; }
      const plot = new uPlot(options(chart, Math.max(200, chart.area.clientWidth), chart.area), values, chart.area);
      drawn.push({ plot, chart });
      plot.setScale("x", kept || { min: domain[0], max: domain[1] });
    });
  };
  const fit = () => drawn.forEach(({ plot, chart }) => {
    const width = Math.max(200, chart.area.clientWidth);
    if (width !== plot.width) plot.setSize({ width, height: HEIGHT });
  });

  const choices = document.getElementById("axis");
  const known = Object.keys(AXES).filter((key) => key === "step" || data.runs.every((run) => run[key]));
  if (known.length > 1) {
    choices.hidden = false;
    for (const key of known) {
      const button = element("button", AXES[key], choices);
      button.type = "button";
      button.setAttribute("aria-pressed", String(key === axis));
      button.addEventListener("click", () => {
        axis = key;
        choices.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
        zoomed = false;
        reset.disabled = true;
        draw();
      });
    }
  }
  document.getElementById("smooth").addEventListener("input", (event) => { smoothing = Number(event.target.value); draw(); });
  const chips = document.getElementById("runs");
  if (chips) data.runs.forEach((run, number) => {
    const button = element("button", "", chips), dot = element("i", "", button);
    button.type = "button";
    dot.className = `dot c${number % COLOURS}`;
    button.append(run.name);
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      const show = hiddenRuns.has(number);
      if (show) hiddenRuns.delete(number); else hiddenRuns.add(number);
      button.setAttribute("aria-pressed", String(show));
      quietly = true;
      drawn.forEach(({ plot, chart }) => chart.series.forEach((one, index) => {
        if (one.run === number) plot.setSeries(index + 1, { show: show && !hidden.has(`${chart.id}/${index}`) });
      }));
      quietly = false;
    });
  });

  draw();
  let waiting = 0;
  new ResizeObserver(() => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(fit); }).observe(root);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
