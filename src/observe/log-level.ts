/** From the most to the least important. */
const levels = ['silent', 'error', 'warn', 'info', 'debug'] as const

export type LogLevel = (typeof levels)[number]

/** The level that `HAVEN_LOG` names; `warn` when it names none. */
export function logLevel(name: string | undefined): LogLevel {
  return levels.find((level) => level === name?.toLowerCase()) ?? 'warn'
}

/** Whether an event is written at a level. Apart from the logger, which costs time to load. */
export function isLogged(event: Exclude<LogLevel, 'silent'>, level: LogLevel): boolean {
  return levels.indexOf(event) <= levels.indexOf(level)
}
