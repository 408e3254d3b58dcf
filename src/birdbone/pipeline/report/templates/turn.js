"use strict";
// Turns every picture of a space with finger, mouse or arrow keys. Without it they stand as they were drawn.
const SIZE = 420, REACH = SIZE / 2 * 0.72;
for (const box of document.querySelectorAll(".space")) {
  const marks = [...box.querySelectorAll("[data-at]")].map(mark => [mark, mark.dataset.at.split(" ").map(Number)]);
  let yaw = 0.6, pitch = 0.35, from = null;
  const draw = () => {
    const c = Math.cos(yaw), s = Math.sin(yaw), cp = Math.cos(pitch), sp = Math.sin(pitch);
    for (const [mark, [x, y, z]] of marks) {
      const height = y * cp - (z * c - x * s) * sp;
      mark.setAttribute("transform", `translate(${SIZE / 2 + (x * c + z * s) * REACH} ${SIZE / 2 - height * REACH})`);
    }
  };
  const turn = (dx, dy) => { yaw += dx; pitch = Math.max(-1.5, Math.min(1.5, pitch + dy)); draw(); };
  box.addEventListener("pointerdown", event => { from = [event.clientX, event.clientY]; box.setPointerCapture(event.pointerId); });
  box.addEventListener("pointermove", event => {
    if (!from) return;
    turn((event.clientX - from[0]) / 120, (event.clientY - from[1]) / 120);
    from = [event.clientX, event.clientY];
  });
  for (const name of ["pointerup", "pointercancel"]) box.addEventListener(name, () => { from = null; });
  box.addEventListener("keydown", event => {
    const steps = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
    if (!(event.key in steps)) return;
    event.preventDefault();
    turn(...steps[event.key]);
  });
}
