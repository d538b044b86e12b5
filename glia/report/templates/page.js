"use strict";
(() => {
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const tip = document.getElementById("tip");
  const add = (parent, tag, text, className) => {
    const child = document.createElement(tag);
    child.textContent = text;
    if (className) child.className = className;
    parent.append(child, " ");
    return child;
  };
  const hide = () => { tip.hidden = true; };
  const place = (x, y) => {
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = x + 16 + box.width > document.documentElement.clientWidth ? x - box.width - 16 : x + 16;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, y - box.height - 12)}px`;
  };
  const shape = (parent, name, values) => {
    const child = parent.appendChild(document.createElementNS("http://www.w3.org/2000/svg", name));
    for (const key in values) child.setAttribute(key, values[key]);
  };

  for (const svg of document.querySelectorAll("svg[data-plot]")) {
    const plot = plots[svg.dataset.plot];
    const cursor = svg.querySelector(".cursor");
    const [left, top, right, bottom] = plot.box;
    const clear = () => { cursor.replaceChildren(); hide(); };
    const nearest = (points, x, y) => points.reduce((best, point) => {
      const far = Math.abs(point[0] - x) + (plot.near ? 1 : 0.001) * Math.abs(point[1] - y);
      return far < best[0] ? [far, point] : best;
    }, [Infinity, null])[1];
    const show = (x, y, pageX, pageY) => {
      const found = plot.lines.map((line) => [line, nearest(line.points, x, y)]).filter((hit) => hit[1]);
      if (!found.length) return;
      const at = found.map((hit) => hit[1][0]).sort((a, b) => Math.abs(a - x) - Math.abs(b - x))[0];
      const hits = found.filter((hit) => Math.abs(hit[1][0] - at) < 8);
      cursor.replaceChildren();
      tip.replaceChildren();
      if (!plot.near) shape(cursor, "line", { x1: at, x2: at, y1: top, y2: bottom });
      add(tip, "p", `${plot.x} ${hits.find((hit) => hit[1][0] === at)[1][2]}`);
      for (const [line, point] of hits) {
        shape(cursor, "circle", { cx: point[0], cy: point[1], r: 4.5, class: `point ${line.colour}` });
        const row = add(tip, "div", "");
        add(row, "i", "", line.colour);
        add(row, "span", plot.near ? plot.y : line.name);
        add(row, "b", point[3]);
      }
      const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
      place(pageX ?? box.left + at * scale, pageY ?? box.top + hits[0][1][1] * scale);
      svg.dataset.at = at;
    };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width;
      show((event.clientX - box.left) * scale, (event.clientY - box.top) * scale, event.clientX, event.clientY);
    });
    svg.addEventListener("pointerleave", clear);
    svg.addEventListener("blur", clear);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return event.key === "Escape" ? clear() : undefined;
      event.preventDefault();
      const stops = [...new Set(plot.lines.flatMap((line) => line.points.map((point) => point[0])))].sort((a, b) => a - b);
      const now = stops.findIndex((stop) => stop >= Number(svg.dataset.at ?? left));
      show(stops[Math.min(Math.max(now + step, 0), stops.length - 1)], (top + bottom) / 2);
    });
  }
  document.addEventListener("pointerover", (event) => {
    const target = event.target.closest("[data-tip]");
    if (!target) return event.target.closest("svg[data-plot]") ? undefined : hide();
    tip.replaceChildren();
    add(tip, "p", target.dataset.tip);
    place(event.clientX, event.clientY);
  });
  addEventListener("scroll", hide, { passive: true });
})();
