import { Window } from 'happy-dom'
import type { EditorView } from 'prosemirror-view'
import type * as Y from 'yjs'

/** A browser's window, as far as an editor asks for it; prosemirror-view looks for it when it is loaded. */
function openWindow(): Window {
  const window = new Window()
  const names = ['document', 'window', 'MutationObserver', 'Node', 'HTMLElement', 'getSelection']
  for (const name of names) {
    const value: unknown = name === 'window' ? window : Reflect.get(window, name)
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
  }
  return window
}

const window = openWindow()

/** A ProseMirror editor of paragraphs on a fragment of a Yjs document, by y-prosemirror. */
export async function openEditor(
  fragment: Y.XmlFragment,
  awareness?: import('y-protocols/awareness').Awareness,
): Promise<EditorView> {
  const { Schema } = await import('prosemirror-model')
  const { EditorState } = await import('prosemirror-state')
  const view = await import('prosemirror-view')
  const { ySyncPlugin, yCursorPlugin, yUndoPlugin } = await import('y-prosemirror')
  const schema = new Schema({
    nodes: {
      doc: { content: 'block+' },
      paragraph: { group: 'block', content: 'text*', toDOM: () => ['p', 0] },
      text: {},
    },
    marks: { strong: { toDOM: () => ['strong', 0] } },
  })
  const plugins = [ySyncPlugin(fragment), yUndoPlugin()]
  if (awareness !== undefined) plugins.push(yCursorPlugin(awareness))
  const place = window.document.createElement('div')
  window.document.body.append(place)
  return new view.EditorView(place as unknown as HTMLElement, {
    state: EditorState.create({ schema, plugins }),
  })
}

/** Its paragraphs, as a person reads them. */
export function paragraphs(editor: EditorView): string[] {
  const texts: string[] = []
  editor.state.doc.forEach((block) => texts.push(block.textContent))
  return texts
}
