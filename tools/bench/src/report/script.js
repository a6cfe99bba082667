"use strict";
(() => {
  const root = document.documentElement;
  document.getElementById("theme").onclick = () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  };
  for (const plot of document.querySelectorAll("[data-hover]")) {
    const data = JSON.parse(plot.dataset.hover);
    const cursor = plot.querySelector(".cursor");
    const tip = plot.appendChild(document.createElement("div"));
    tip.className = "tip";
    plot.onpointermove = (event) => {
      const box = plot.getBoundingClientRect();
      const scale = box.width / data.w;
      const x = (event.clientX - box.left) / scale;
      let at = 0;
      data.x.forEach((each, nth) => { if (Math.abs(each - x) < Math.abs(data.x[at] - x)) at = nth; });
      if (!data.x.length) return;
      cursor.setAttribute("transform", `translate(${data.x[at]} 0)`);
      cursor.style.visibility = tip.style.visibility = "visible";
      tip.replaceChildren(Object.assign(document.createElement("b"), { textContent: data.t[at] }));
      for (const [name, colour, texts] of data.r) {
        if (!texts[at]) continue;
        const row = tip.appendChild(document.createElement("div"));
        const key = row.appendChild(document.createElement("i"));
        key.style.background = `var(--c${colour})`;
        row.append(name);
        row.appendChild(document.createElement("span")).textContent = texts[at];
      }
      const left = data.x[at] * scale;
      tip.style.left = left > box.width / 2 ? "" : `${left + 12}px`;
      tip.style.right = left > box.width / 2 ? `${box.width - left + 12}px` : "";
      tip.style.top = "8px";
    };
    plot.onpointerleave = () => { cursor.style.visibility = tip.style.visibility = "hidden"; };
  }
})();
