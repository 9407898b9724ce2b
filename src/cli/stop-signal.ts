let controller: AbortController | undefined

/**
 * Aborted by the first SIGINT, SIGTERM or SIGHUP, for a clean end; the second one ends the process at once. Also aborted when a
 * parent that started this process with a channel to it (`stdio: 'ipc'`) is gone, even if it was killed.
 */
export function stopSignal(): AbortSignal {
  controller ??= listen()
  return controller.signal
}

function listen(): AbortController {
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(name, () => {
      if (stop.signal.aborted) process.exit(1)
      stop.abort()
    })
  process.on('disconnect', () => stop.abort())
  // Listening must not keep the process from ending.
  process.channel?.unref()
  return stop
}
