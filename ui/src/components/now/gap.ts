/** Draws a time in which GoGrid did not run: a shade over the height of the plot, with words, upright if it is narrow. */
import type uPlot from "uplot";
import type { DrawnGap } from "../../lib/history";

/** Room around the words, in pixels of the screen. */
const MARGIN_PX = 6;

export function drawGap(plot: uPlot, { from, to, says }: DrawnGap, token: (name: string) => string): void {
  const { ctx, bbox } = plot;
  const left = Math.max(bbox.left, plot.valToPos(from, "x", true));
  const right = Math.min(bbox.left + bbox.width, plot.valToPos(to, "x", true));
  if (right <= left) return;
  ctx.save();
  ctx.fillStyle = token("--sunken");
  ctx.fillRect(left, bbox.top, right - left, bbox.height);
  const size = parseFloat(getComputedStyle(document.documentElement).fontSize) * 0.6875 * devicePixelRatio;
  ctx.font = `${size}px ${token("--font")}`;
  ctx.fillStyle = token("--dim");
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.translate((left + right) / 2, bbox.top + bbox.height / 2);
  const margin = MARGIN_PX * devicePixelRatio;
  if (ctx.measureText(says.long).width + 2 * margin <= right - left) {
    ctx.fillText(says.long, 0, 0);
  } else if (size <= right - left && ctx.measureText(says.short).width <= bbox.height) {
    ctx.rotate(-Math.PI / 2);
    ctx.fillText(says.short, 0, 0);
  }
  ctx.restore();
}
