// An OpenID Connect provider. Its argument is {port, keyFiles, algorithm, scopes, defaultAudience,
// redirectUris}, as JSON. Creates the key files that do not exist; the first key of the algorithm
// signs. Prints the issuer when it is ready, and exits at the end of its standard input.
import { generateKeyPairSync } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'

const { Provider } = createRequire(process.cwd() + '/')('oidc-provider')
const settings = JSON.parse(process.argv[2])
const KEY_TYPES = {
  RS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }]
}

function loadKey (file) {
  if (!existsSync(file)) {
    const { privateKey } = generateKeyPairSync(...KEY_TYPES[settings.algorithm])
    const key = { ...privateKey.export({ format: 'jwk' }), alg: settings.algorithm, use: 'sig' }
    writeFileSync(file, JSON.stringify(key))
  }
  return JSON.parse(readFileSync(file, 'utf8'))
}

const server = createServer()
await new Promise((resolve) => server.listen(settings.port, '127.0.0.1', resolve))
const issuer = `http://127.0.0.1:${server.address().port}`
const provider = new Provider(issuer, {
  jwks: { keys: settings.keyFiles.map(loadKey) },
  clientDefaults: { id_token_signed_response_alg: settings.algorithm },
  clients: [
    {
      client_id: 'machine',
      client_secret: 'secret',
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: []
    },
    {
      client_id: 'docs',
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code'],
      redirect_uris: settings.redirectUris
    }
  ],
  features: {
    clientCredentials: { enabled: true },
    // Its login page accepts every user and password.
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (_context, _client, oneOf) => settings.defaultAudience ?? oneOf,
      getResourceServerInfo: () => ({
        scope: settings.scopes.join(' '),
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: settings.algorithm } }
      }),
      // To redeem a code, Swagger UI puts the resource in the query, where it does not count.
      useGrantedResource: () => true
    }
  }
})
provider.on('server_error', (_context, error) => console.error(error))
server.on('request', provider.callback())
console.log(issuer)
process.stdin.resume().on('end', () => process.exit())
