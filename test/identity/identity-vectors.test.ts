import { expect, test } from 'vitest'
import { hexToBytes } from '../../src/core/bytes.ts'
import { decodeControlPayload, encodeControlPayload } from '../../src/identity/control-fact.ts'
import { openHello } from '../../src/identity/hello.ts'
import vectors from '../vectors/identity.json' with { type: 'json' }
import { identityVectors } from './identity-vectors.ts'

// When this fails, other versions can't read what this one writes. A vitest -u writes the file anew.
test('everything that is hashed, signed, sealed or encoded still gives the same bytes', async () => {
  await expect(`${JSON.stringify(identityVectors(), undefined, 2)}\n`).toMatchFileSnapshot(
    '../vectors/identity.json',
  )
})

test('the recorded facts and hellos can be read', () => {
  const payload = decodeControlPayload(hexToBytes(vectors.controlPayload))
  expect(payload.facts.map(({ kind }) => kind)).toEqual([
    'certificate',
    'revocation',
    'held',
    'collection',
    'epoch',
    'void',
    'deviceName',
    'meshName',
    'rootKeys',
    'retiring',
    'retiring',
    'schema',
    'server',
    'site',
    'site',
    'unknown',
  ])
  expect(encodeControlPayload(payload)).toEqual(hexToBytes(vectors.controlPayload))
  const terms = {
    keys: [hexToBytes(vectors.epoch.discoveryKey)],
    binding: hexToBytes(vectors.hello.binding),
    mesh: vectors.names.mesh,
  }
  const dialler = openHello(hexToBytes(vectors.hello.dialler), {
    ...terms,
    sender: 'dialler',
    diallerNonce: undefined,
  })
  expect(dialler).toMatchObject({ signatureValid: true, device: vectors.devices[0]!.device })
  const listener = openHello(hexToBytes(vectors.hello.listener), {
    ...terms,
    sender: 'listener',
    diallerNonce: hexToBytes(vectors.hello.diallerNonce),
  })
  expect(listener).toMatchObject({ signatureValid: true, device: vectors.devices[1]!.device })
})
