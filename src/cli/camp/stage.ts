import type { Output } from '../output.ts'
import { jsonText } from '../json.ts'
import { liveRegion, rowsOf } from '../live-region.ts'
import type { CampDevice } from './camp-device.ts'
import type { Narrator } from './story.ts'
import { headLines, type Step, stepText } from './view.ts'

/** Not more often than one can follow. */
const redrawMs = 150

/** Where the story is shown. */
export interface Stage extends Narrator, Disposable {
  /** Something about a device changed. */
  changed(): void
  failed(failure: { code: string; message: string }): void
}

/** One line of JSON for each step. */
export function jsonStage(output: Output, now: () => string): Stage {
  let current = ''
  const line = (step: object) => void output.write(`${jsonText(step)}\n`)
  return {
    begins: (name) => (current = name),
    says: (sentence) => line({ step: current, note: sentence, time: now() }),
    happened: ({ name, details }) => line({ step: name, ok: true, time: now(), ...details }),
    failed: (error) => line({ step: current, ok: false, time: now(), error }),
    changed: () => {},
    [Symbol.dispose]: () => {},
  }
}

/** A line for each step, where there is no terminal to draw on. */
export function plainStage(output: Output, nowMs: () => number): Stage {
  let title = ''
  let startMs = 0
  const line = (text: string) => void output.write(`${text}\n`)
  return {
    begins(_name, what) {
      title = what
      startMs = nowMs()
    },
    says: line,
    happened: ({ outcome }) =>
      line(stepText({ title, outcome, seconds: (nowMs() - startMs) / 1_000 })),
    failed: ({ message }) => line(stepText({ title, failure: message })),
    changed: () => {},
    [Symbol.dispose]: () => {},
  }
}

/** A view that is drawn over itself, calmly. */
export function liveStage(
  output: Output,
  { devices, nowMs }: { devices: readonly CampDevice[]; nowMs: () => number },
): Stage {
  const steps: Step[] = []
  const remarks: string[] = []
  let startMs = 0
  const region = liveRegion(output)
  let shown = ''
  let timer: NodeJS.Timeout | undefined
  const draw = () => {
    timer = undefined
    const head = headLines(devices)
    const tail = remarks.flatMap((remark) => ['', ...remark.split('\n')])
    const texts = steps.map((step) => `  ${stepText(step)}`)
    // On a low terminal the last steps are the ones that matter.
    const room = output.rows - 1 - head.length - rowsOf(tail, output.columns)
    const lines = [...head, ...texts.slice(-Math.max(1, room))]
    const text = [...lines, ...tail].join('\n')
    if (text === shown) return
    shown = text
    void region.draw(lines, tail)
  }
  let isOver = false
  const changed = () => {
    if (!isOver) timer ??= setTimeout(draw, redrawMs)
  }
  return {
    begins(_name, title) {
      startMs = nowMs()
      steps.push({ title })
      changed()
    },
    says(sentence) {
      remarks.push(sentence)
      changed()
    },
    happened({ outcome }) {
      Object.assign(steps.at(-1)!, { outcome, seconds: (nowMs() - startMs) / 1_000 })
      changed()
    },
    failed({ message }) {
      Object.assign(steps.at(-1)!, { failure: message })
      draw()
    },
    changed,
    [Symbol.dispose]() {
      // What follows is the end of the processes, which is no part of the story.
      isOver = true
      clearTimeout(timer)
      draw()
    },
  }
}
