"""How the programs of every language find boxes in the answer of a detector: the rule of `box_decode`.

In each cell of two grids stand the logarithms of the distances to four edges, in cells, and the logits of the
classes; of boxes of a class that overlap by more than an IoU of 0.6 the surest stays.
"""

from __future__ import annotations

from hwnas.networks.box_head import EDGES
from hwnas.tasks.box_decode import MOST_LOG, MOST_OVERLAP, sides_of
from hwnas.tasks.box_scores import MOST_ANSWERS

from .facts import AppFacts, filled

PYTHON = '''# Cells to a side of both grids, score from which a box is shown, IoU from which two are one.
SIDES, SHOWN, ONE = (@FINE@, @COARSE@), @SHOWN@, @ONE@


def boxes(scores: np.ndarray) -> list[tuple[str, float, np.ndarray]]:
    """Class, score and box of each object, the surest first.

    A box is (left, top, right, bottom), as shares of the square that the network sees.
    """
    chances = 1 / (1 + np.exp(-np.clip(scores[4:].astype(float), -60, 60)))
    kinds, cells = np.nonzero(chances > SHOWN)
    found: list[tuple[str, float, np.ndarray]] = []
    for i in np.argsort(-chances[kinds, cells], kind="stable"):
        cell = int(cells[i])
        side, cell = (SIDES[0], cell) if cell < SIDES[0] ** 2 else (SIDES[1], cell - SIDES[0] ** 2)
        centre = np.array([cell % side + 0.5, cell // side + 0.5])
        reach = np.exp(np.minimum(scores[:4, cells[i]].astype(float), @MOST@))
        box = np.clip(np.concatenate([centre - reach[:2], centre + reach[2:]]) / side, 0, 1)
        name = CLASSES[kinds[i]]
        if all(name != other or iou(box, there) <= ONE for other, _, there in found):
            found.append((name, float(chances[kinds[i], cells[i]]), box))
    return found[:@MOST_BOXES@]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """The share that two boxes have in common of what both cover."""
    width, height = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    whole = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - width * height
    return float(width * height / whole) if whole > 0 else 1.0


'''
PYTHON_READ = "[(name, round(score, 3), box.round(3).tolist()) for name, score, box in boxes(scores)]"

CPP = """  // Cells to a side of both grids; the surest box of each object, as shares of the image.
  const size_t sides[] = {@FINE@, @COARSE@}, cells = sides[0] * sides[0] + sides[1] * sides[1];
  struct Box { size_t kind; float score, left, top, right, bottom; };
  std::vector<Box> all, found;
  for (size_t kind = 0; kind < kClasses.size(); ++kind)
    for (size_t i = 0; i < cells; ++i) {
      const float score = 1 / (1 + std::exp(-scores[(4 + kind) * cells + i]));
      if (score <= @SHOWN@f) continue;
      const bool fine = i < sides[0] * sides[0];
      const size_t side = sides[fine ? 0 : 1], place = fine ? i : i - sides[0] * sides[0];
      const float x = place % side + 0.5f, y = place / side + 0.5f;
      float edge[4];
      for (size_t e = 0; e < 4; ++e) {
        const float reach = std::exp(std::min(scores[e * cells + i], @MOST@f));
        const float at = (e % 2 == 0 ? x : y) + (e < 2 ? -reach : reach);
        edge[e] = std::min(1.0f, std::max(0.0f, at / side));
      }
      all.push_back({kind, score, edge[0], edge[1], edge[2], edge[3]});
    }
  std::stable_sort(all.begin(), all.end(), [](const Box& a, const Box& b) { return a.score > b.score; });
  for (const Box& box : all) {
    bool covered = false;
    for (const Box& other : found) {
      const float w = std::max(0.0f, std::min(box.right, other.right) - std::max(box.left, other.left));
      const float h = std::max(0.0f, std::min(box.bottom, other.bottom) - std::max(box.top, other.top));
      const float whole = (box.right - box.left) * (box.bottom - box.top) +
                          (other.right - other.left) * (other.bottom - other.top) - w * h;
      covered = covered || (box.kind == other.kind && w * h > @ONE@f * whole);
    }
    if (!covered && found.size() < @MOST_BOXES@) found.push_back(box);
  }
  for (const Box& box : found)
    std::printf("%s %.3f: %.3f %.3f %.3f %.3f\\n", kClasses[box.kind], box.score, box.left, box.top,
                box.right, box.bottom);"""

KOTLIN = """    /** An object: class, score, and edges as shares of the square that the network sees. */
    class Found(val name: String, val score: Float, val edges: FloatArray) {
        fun iou(other: Found): Float {
            val (a, b) = Pair(edges, other.edges)
            val width = maxOf(0f, minOf(a[2], b[2]) - maxOf(a[0], b[0]))
            val height = maxOf(0f, minOf(a[3], b[3]) - maxOf(a[1], b[1]))
            val whole = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
            return if (whole > 0f) width * height / whole else 1f
        }
    }

    /** The surest box of each object. */
    private fun boxes(scores: FloatArray): List<Found> {
        val sides = intArrayOf(@FINE@, @COARSE@)
        val (first, cells) = Pair(sides[0] * sides[0], sides[0] * sides[0] + sides[1] * sides[1])
        val all = ArrayList<Found>()
        for ((kind, name) in CLASSES.withIndex()) {
            for (i in 0 until cells) {
                val score = 1f / (1f + exp(-scores[(4 + kind) * cells + i]))
                if (score <= @SHOWN@f) continue
                val (side, place) = if (i < first) Pair(sides[0], i) else Pair(sides[1], i - first)
                val centre = floatArrayOf(place % side + 0.5f, place / side + 0.5f)
                val edges = FloatArray(4) { e ->
                    val reach = exp(minOf(scores[e * cells + i], @MOST@f))
                    ((centre[e % 2] + (if (e < 2) -reach else reach)) / side).coerceIn(0f, 1f)
                }
                all.add(Found(name, score, edges))
            }
        }
        val found = ArrayList<Found>()
        for (box in all.sortedByDescending { it.score }) {
            if (found.none { it.name == box.name && it.iou(box) > @ONE@f }) found.add(box)
        }
        return found.take(@MOST_BOXES@)
    }

"""

SWIFT = """    /// An object: class, score, and edges as shares of the square that the network sees.
    struct Found {
        let name: String, score: Float, left: Float, top: Float, right: Float, bottom: Float

        func iou(_ other: Found) -> Float {
            let width = max(0, min(right, other.right) - max(left, other.left))
            let height = max(0, min(bottom, other.bottom) - max(top, other.top))
            let whole = (right - left) * (bottom - top)
                + (other.right - other.left) * (other.bottom - other.top) - width * height
            return whole > 0 ? width * height / whole : 1
        }
    }

    /// The surest box of each object.
    private static func boxes(of scores: [Float]) -> [Found] {
        let sides = [@FINE@, @COARSE@]
        let first = sides[0] * sides[0], cells = first + sides[1] * sides[1]
        var all: [Found] = []
        for (kind, name) in classes.enumerated() {
            for i in 0..<cells {
                let score = 1 / (1 + exp(-scores[(4 + kind) * cells + i]))
                if score <= @SHOWN@ { continue }
                let side = i < first ? sides[0] : sides[1], place = i < first ? i : i - first
                let centre = [Float(place % side) + 0.5, Float(place / side) + 0.5]
                let edges = (0..<4).map { e -> Float in
                    let reach = exp(min(scores[e * cells + i], @MOST@))
                    return min(1, max(0, (centre[e % 2] + (e < 2 ? -reach : reach)) / Float(side)))
                }
                all.append(Found(
                    name: name, score: score,
                    left: edges[0], top: edges[1], right: edges[2], bottom: edges[3]))
            }
        }
        var found: [Found] = []
        for box in all.sorted(by: { $0.score > $1.score }) {
            if !found.contains(where: { $0.name == box.name && $0.iou(box) > @ONE@ }) { found.append(box) }
        }
        return Array(found.prefix(@MOST_BOXES@))
    }

"""


def finder(template: str, facts: AppFacts) -> str:
    """One of the texts above with the numbers of a file; empty where answers are no boxes."""
    if facts.readable.reading != "boxes":
        return ""
    fine, coarse = sides_of(facts.n_outputs // (EDGES + len(facts.class_names)))
    values = {
        "FINE": fine,
        "COARSE": coarse,
        "SHOWN": facts.threshold,
        "ONE": MOST_OVERLAP,
        "MOST": MOST_LOG,
        "MOST_BOXES": MOST_ANSWERS,
    }
    return filled(template, {name: str(value) for name, value in values.items()})
