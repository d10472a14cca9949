// An authorization server (oidc-provider) for tokens of one resource, and of what
// is below it, whose users consent to everything at once.
//
//   node idp.mjs PORT RESOURCE SCOPES
//
// serves http://127.0.0.1:PORT. SCOPES are separated by spaces. Clients register
// themselves (RFC 7591); PKCE is required. Tokens are JWTs for the resource that was
// asked for (RFC 8707). The user's name is the login_hint, or "ada"; "wary" grants a
// client one scope of a resource and no more, until it asks again. Besides there is
// the client "machine" with the secret "machine-secret-machine-secret" for client
// credentials.
import { Provider } from "oidc-provider";

const [port, resource, scopes] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "machine",
      client_secret: "machine-secret-machine-secret",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  cookies: { keys: ["of-a-test"] },
  scopes: ["openid", "offline_access", ...scopes.split(" ")],
  pkce: { required: () => true },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  interactions: { url: (_ctx, interaction) => `/consent/${interaction.uid}` },
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: (_ctx, indicator) => {
        if (indicator !== resource && !indicator.startsWith(`${resource}/`)) throw new Error("unknown resource");
        return { scope: scopes, audience: indicator, accessTokenFormat: "jwt", accessTokenTTL: 600, jwt: { sign: { alg: "RS256" } } };
      },
    },
  },
});

const met = new Set(); // clients that the wary user has met

// A client registers with the scopes that it knows of then, and may come to ask for
// more: what it has registered is no bound (RFC 7591 section 2 has servers replace it).
provider.use(async (ctx, next) => {
  if (ctx.method === "POST" && ctx.path === "/reg") {
    const parts = [];
    for await (const part of ctx.req) parts.push(part);
    const { scope, ...metadata } = JSON.parse(Buffer.concat(parts).toString());
    ctx.req.body = metadata;
  }
  return next();
});

// What a person would do in a browser.
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith("/consent/")) return next();
  const { prompt, params, session } = await provider.interactionDetails(ctx.req, ctx.res);
  if (prompt.name === "login") {
    return provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: params.login_hint ?? "ada" } });
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  const { missingOIDCScope, missingResourceScopes } = prompt.details;
  if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(" "));
  for (const [indicator, missing] of Object.entries(missingResourceScopes ?? {})) {
    const granted = session.accountId === "wary" && !met.has(params.client_id) ? missing.slice(0, 1) : missing;
    const refused = missing.filter((scope) => !granted.includes(scope));
    grant.addResourceScope(indicator, granted.join(" "));
    if (refused.length > 0) grant.rejectResourceScope(indicator, refused.join(" "));
  }
  met.add(params.client_id);
  return provider.interactionFinished(ctx.req, ctx.res, { consent: { grantId: await grant.save() } });
});

provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
