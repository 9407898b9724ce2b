import { createConnection, type Socket } from 'node:net'

/** @throws the socket's error, such as `ECONNREFUSED` where nobody listens */
export function connect(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path)
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

/** Whether somebody listens there. */
export async function answers(path: string): Promise<boolean> {
  try {
    const socket = await connect(path)
    socket.destroy()
    return true
  } catch {
    // Refused, or gone: nobody.
    return false
  }
}

/** Resolves when more can be written, or nothing ever again. */
export function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      socket.off('drain', go)
      socket.off('close', go)
      resolve()
    }
    socket.on('drain', go)
    socket.on('close', go)
  })
}
