// Run inside a copy of the page: writes what a reader would see, a line each, into an element
// `findings` of the outermost page. The page itself has no scripts.
(function () {
  "use strict";
  const errors = [];
  // Beforehand, so that nothing of the page is missed; `true` also catches what failed to load.
  addEventListener("error", function (event) {
    errors.push(event.message || "cannot load " + event.target.tagName);
  }, true);
  window.alert = function (text) { errors.push("alert " + text); };

  function isDrawn(node, frame) {
    const box = node.getBoundingClientRect();
    const style = getComputedStyle(node);
    const painted = style.fill !== "none" || style.stroke !== "none";
    const shown = style.visibility === "visible" && style.opacity !== "0" && style.display !== "none";
    const inside = box.left >= frame.left - 1 && box.right <= frame.right + 1 &&
      box.top >= frame.top - 1 && box.bottom <= frame.bottom + 1;
    // A line that does not rise has no height.
    const sized = box.width > 0 && (node.tagName === "polyline" || box.height > 0);
    return painted && shown && inside && sized;
  }

  // What carries the data of each kind of plot.
  const MARK = { ratios: "circle", throughput: "circle", history: "circle", distributions: "rect", memory: "polyline" };

  function findings() {
    const root = document.documentElement;
    const lines = ["page " + [innerWidth, root.clientWidth, root.scrollWidth].join(" ")];
    for (const svg of document.querySelectorAll("svg[data-plot]")) {
      const frame = svg.getBoundingClientRect();
      const marks = Array.from(svg.querySelectorAll(MARK[svg.dataset.plot]));
      const drawn = marks.filter(function (mark) { return isDrawn(mark, frame); });
      const data = drawn.reduce(function (sum, mark) {
        return sum + (mark.tagName === "polyline" ? mark.points.numberOfItems : 1);
      }, 0);
      lines.push(["plot", svg.dataset.plot, svg.dataset.marks, data, frame.width.toFixed(0),
        frame.height.toFixed(0)].join(" "));
    }
    for (const table of document.querySelectorAll("table")) {
      const box = table.getBoundingClientRect();
      lines.push("table " + box.width.toFixed(0) + " " + box.height.toFixed(0));
    }
    for (const error of errors) {
      lines.push("error " + error.replace(/\s+/g, " "));
    }
    const pre = parent.document.createElement("pre");
    pre.id = "findings";
    pre.textContent = "\n" + lines.join("\n") + "\n";
    parent.document.body.appendChild(pre);
  }
  addEventListener("load", findings);
})();
