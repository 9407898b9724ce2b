/** Chains of certificates, as a device shows them to one that may lack the control facts. */
import { hexToBytes } from '../core/bytes.ts'
import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { type Certificate, verifyCertificate } from './certificate.ts'
import { meshIdOf } from './names.ts'

/**
 * Checks that a chain leads from a device to the root of the mesh, by admins. It says nothing of revocations: those are
 * facts, to be looked up for every device in the chain by whoever has them.
 *
 * @param chain - the device's own certificate first, the one that the root issued last
 * @returns the device's own certificate
 * @throws HavenError `WRONG_MESH`; `LIMIT_EXCEEDED` for a chain that is too long; `BAD_SIGNATURE`; `NOT_A_MEMBER` when
 *   a link is missing, or an issuer is no admin
 */
export function verifyChain(mesh: string, chain: readonly Certificate[]): Certificate {
  const own = chain[0]
  if (own === undefined) throw notAMember('showed no certificate')
  if (chain.length > limits.certificateChain) {
    throw new HavenError('LIMIT_EXCEEDED', 'A peer showed too long a chain of certificates.')
  }
  if (chain.some((certificate) => certificate.mesh !== mesh)) {
    throw new HavenError('WRONG_MESH', 'A peer showed a certificate of another mesh.')
  }
  for (const [index, certificate] of chain.entries()) {
    const above = chain[index + 1]
    if (above === undefined) {
      if (meshIdOf(hexToBytes(certificate.issuer)) !== mesh) {
        throw notAMember('showed certificates that do not lead to the root of this mesh')
      }
    } else if (certificate.issuer !== above.device || above.role !== 'admin') {
      throw notAMember('showed a certificate that no admin issued')
    }
  }
  // Signatures last: they cost a thousand times more than the rest.
  if (!chain.every(verifyCertificate)) {
    throw new HavenError('BAD_SIGNATURE', 'A peer showed a certificate with an invalid signature.')
  }
  return own
}

function notAMember(what: string): HavenError {
  return new HavenError('NOT_A_MEMBER', `A peer ${what}.`)
}
