/** Where things are below a server's address. */
import { HavenError } from '../core/errors.ts'

/** Of the WebSocket. */
export const channelPath = '/v1/sync'
export const tokenPath = '/v1/token'
export const exchangePath = '/v1/exchange'

/**
 * @param address - `http(s)://host[:port][/path]`
 * @throws HavenError `ADDRESS_INVALID`
 */
export function serverUrl(address: string, path: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new HavenError(
      'ADDRESS_INVALID',
      'The address of a server looks like https://haven.example.org or http://10.0.0.5:8420.',
    )
  }
  return new URL(`${url.protocol}//${url.host}${url.pathname.replace(/\/+$/, '')}${path}`)
}
