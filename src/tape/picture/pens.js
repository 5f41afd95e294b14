// Two pens of one kind: the canvas, quick; and SVG, to be saved.
const FONT = "system-ui, sans-serif";
function canvasPen(context) {
  let font = "";
  const stroke = (colour, width, { dash, alpha = 1 }) => {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.globalAlpha = alpha;
    context.setLineDash(dash || []);
  };
  return {
    line(x1, y1, x2, y2, colour, width = 1, how = {}) { stroke(colour, width, how); context.beginPath(); context.moveTo(x1, y1); context.lineTo(x2, y2); context.stroke(); },
    polygon(points, colour) { context.globalAlpha = 1; context.fillStyle = colour; context.beginPath(); points.forEach(([x, y], i) => i ? context.lineTo(x, y) : context.moveTo(x, y)); context.fill(); },
    rect(x, y, w, h, colour, alpha = 1) { context.globalAlpha = alpha; context.fillStyle = colour; context.fillRect(x, y, w, h); },
    ring(x, y, r, colour, how = {}) { stroke(colour, 1.5, how); context.beginPath(); context.arc(x, y, r, 0, 7); context.stroke(); },
    text(x, y, text, { fill = "#1c2430", size = 11, bold, align = "left", halo, alpha = 1 } = {}) {
      const wanted = `${bold ? "600 " : ""}${size}px ${FONT}`;
      if (wanted !== font) context.font = font = wanted;
      context.textAlign = align;
      context.globalAlpha = alpha;
      if (halo) { context.strokeStyle = "#fff"; context.lineWidth = 3; context.lineJoin = "round"; context.setLineDash([]); context.strokeText(text, x, y); }
      context.fillStyle = fill;
      context.fillText(text, x, y);
    },
    within(x, y, w, h, draw) { context.save(); context.beginPath(); context.rect(x, y, w, h); context.clip(); draw(); context.restore(); font = ""; },
  };
}
function svgPen(out) {
  const safe = text => String(text).replace(/[&<>"]/g, letter => `&#${letter.charCodeAt(0)};`), number = value => Number(value.toFixed(1));
  const put = (name, attributes, text) => {
    const list = Object.entries(attributes).filter(([key, value]) => value !== undefined && !(value === 1 && /opacity|stroke-width/.test(key))).map(([key, value]) => ` ${key}="${safe(typeof value === "number" ? number(value) : value)}"`).join("");
    out.push(text === undefined ? `<${name}${list}/>` : `<${name}${list}>${safe(text)}</${name}>`);
  };
  return {
    line(x1, y1, x2, y2, colour, width = 1, { dash, alpha } = {}) { put("line", { x1, y1, x2, y2, stroke: colour, "stroke-width": width, "stroke-dasharray": dash && dash.join(" "), "stroke-opacity": alpha }); },
    polygon(points, colour) { put("polygon", { points: points.map(point => point.map(number).join()).join(" "), fill: colour }); },
    rect(x, y, width, height, colour, alpha) { put("rect", { x, y, width: Math.max(width, .01), height, fill: colour, "fill-opacity": alpha }); },
    ring(cx, cy, r, colour, { dash } = {}) { put("circle", { cx, cy, r, fill: "none", stroke: colour, "stroke-width": 1.5, "stroke-dasharray": dash && dash.join(" ") }); },
    text(x, y, text, { fill = "#1c2430", size = 11, bold, align = "left", halo, alpha } = {}) {
      const anchor = align === "center" ? "middle" : undefined, outline = halo ? { "paint-order": "stroke", stroke: "#fff", "stroke-width": 3 } : {};
      put("text", { x, y, fill, "font-size": size, "font-weight": bold ? 600 : undefined, "text-anchor": anchor, opacity: alpha, ...outline }, text);
    },
    within(x, y, w, h, draw) { out.push(`<clipPath id="in"><rect x="${x}" y="${y}" width="${w}" height="${h}"/></clipPath><g clip-path="url(#in)">`); draw(); out.push("</g>"); },
  };
}
