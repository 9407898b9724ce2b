/** What it means when something that is not the server answers a request to it: a network that wants a sign-in first, or a proxy without a server behind it. */
import type { IncomingHttpHeaders } from 'node:http'
import { HavenError } from '../core/errors.ts'

/** RFC 6585: the client has to sign in to the network. */
const networkAuthenticationRequired = 511

/**
 * Sign-in pages redirect, or answer whatever was asked with a page. A redirect to the same host is the work of its proxy, and so are refusals.
 *
 * @param address - the server's
 * @returns `CAPTIVE_PORTAL`, or `SERVER_NOT_FOUND` with the status
 */
export function otherAnswer(
  address: string,
  status: number,
  headers: IncomingHttpHeaders,
): HavenError {
  if (isSignIn(address, status, headers)) {
    return new HavenError(
      'CAPTIVE_PORTAL',
      'This network wants a sign-in before it lets anything through: open a browser, and sign in.',
    )
  }
  const redirect = isRedirect(status)
    ? ' It redirects: the server has to be added with the address to which it does.'
    : ''
  return new HavenError(
    'SERVER_NOT_FOUND',
    `No server was found at ${address}: what is there answers with HTTP status ${status}.${redirect}`,
  )
}

function isSignIn(address: string, status: number, headers: IncomingHttpHeaders): boolean {
  if (status === networkAuthenticationRequired) return true
  if (status >= 200 && status < 300) return true
  if (!isRedirect(status)) return false
  const { location } = headers
  if (location === undefined || !URL.canParse(location, address)) return true
  return new URL(location, address).hostname !== new URL(address).hostname
}

function isRedirect(status: number): boolean {
  return status >= 300 && status < 400
}
