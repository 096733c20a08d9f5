// Package dingtalktest is a simulated DingTalk: the access token and the list of departed employees, served by an
// [http.Handler] or, without any network, by an [http.RoundTripper]. It refuses what DingTalk refuses. Where nothing public
// says what DingTalk does there is a switch ([Switches]); a client has to be right under all of them. It knows nothing of
// any client.
//
// What follows is the specification, by numbered rule. A rule marked (assumed) has no public source.
//
// # Transport
//
// S1. POST /v1.0/oauth2/accessToken, POST /v1.0/oauth2/{corpId}/token, GET /v1.0/contact/empLeaveRecords. Anything else,
// other methods too, is 404 InvalidAction.NotFound.
//
// S2. Every answer bears Server, Date (by the server's clock), x-acs-request-id (upper-case UUID, the same as in an error's
// body) and x-acs-trace-id; JSON is application/json;charset=utf-8. No Retry-After, unless a switch says so.
//
// S3. An error is {"code", "requestid", "message"}; a missing permission adds "accessdenieddetail":{"requiredScopes":[…]}.
// Switch: Code, RequestId, Message, AccessDeniedDetail. Messages are Chinese; switch: English.
//
// A call is judged in this order (assumed): IP block, token header present, token valid, IP white list, permission, monthly
// quota, rate, parameters, service. See checks.go.
//
// # Access token
//
// S4. The body is JSON {appKey, appSecret}; anything else is 400 Missingbody. A wrong key or secret is 400
// invalidClientIdOrSecret. The answer is {accessToken, expireIn}, expireIn in seconds, 7200.
//
// S5. Asked again while it is valid, the server gives the same token and renews its validity; later a new one, and the old one
// is refused. [Server.ExpireTokens] ends the validity at once. [Server.RevokeToken] kills the token without ending its
// validity: asking again brings back the same dead token.
//
// S6. The corp variant takes {client_id, client_secret, grant_type} and gives {access_token, expires_in}. Errors: 400
// invalid.client, 400 unsupported.grant.type; an unknown corpId is 500 unknownError. Asking again gives the same token
// (assumed).
//
// S7. Only the header x-acs-dingtalk-access-token is looked at. None: 400 AuthenticationFailed.MissingParameter. Unknown,
// expired or revoked: 400 InvalidAuthentication.
//
// S8. Without the permission, 403 Forbidden.AccessDenied.AccessTokenPermissionDenied, requiredScopes [Contact.Common.Read].
//
// # empLeaveRecords
//
// S10. startTime or maxResults missing or empty: 400 MissingstartTime, MissingmaxResults (assumed); switch:
// invalidParameter.param.invalid.
//
// S11. startTime and endTime are RFC 3339; switch: also without a zone, then UTC. A "+" that was not percent-encoded is a space and
// refused: 400 invalidParameter.param.invalid, as all refusals of S12 to S14. Parts of a second are cut off.
//
// S12. Without endTime, startTime may be 365 days old by the server's clock, and the window has no end (assumed). With endTime,
// the span may be 365 days; an end before the start is refused. Switches: a start older than 365 days is always refused, endTime is
// always refused, an endTime in the future is refused.
//
// S13. maxResults is an integer from 1 to 50; switch: more than 50 counts as 50.
//
// S14. nextToken "0", empty or absent asks for the first page. Other tokens are 16 upper-case hexadecimal digits, opaque, bound to
// startTime, endTime and maxResults, and valid for 10 minutes (assumed; settable). A foreign, unknown or old one is refused, by a
// code that can be set. The same page asked again gives the same nextToken where the same page follows.
//
// S15. The last page has no nextToken; switch: null, "", "0", or the number 0.
//
// S16. Switches: pages shorter than asked though more follow; every other page empty, beginning with the first; an empty page after a
// last page that was exactly full; the same nextToken again and again.
//
// S17. Order: by leaveTime ascending; switch: descending, insertion (in which they became visible), random. Paging: a snapshot
// taken at the first page; switch: live offset, which shifts under inserts and removals, or live keyset.
//
// S18. Bounds are inclusive; switch: end exclusive, or both. Whole seconds count. What is compared is leaveTime; switch: the time
// of the operation. Request times mean what they say; switch: the clock time is read as that of another zone.
//
// S19. leaveTime is 2006-01-02T15:04:05Z; switch: without seconds where they are 00, with milliseconds, at +08:00, without a zone,
// or the first four mixed.
//
// S20. records is [] when empty; switch: null. Switches for name, stateCode, mobile: missing, null, "", masked, or mixed; for
// unknown fields in record and page.
//
// S21. [Server.Leave], [Server.Edit] and [Server.Remove] make history, also backdated or visible later; [Corpus] invents people.
//
// # Limits and faults
//
// S22. 20 calls a second for each API, in windows of one second: beyond it 403 Forbidden.AccessDenied.QpsLimitForAppkeyAndApi.
// Switches: another number, a limit a minute (QpmLimitForAppkeyAndApi), the global limit (QpsLimitForApi) from each full and
// half hour on. A refused call is not counted.
//
// S24. [Server.BlockIP] answers every call with a page that is not DingTalk's JSON error, for as long as told.
//
// S25. [Fault]: wrong answers and broken connections, for the next n calls or by chance.
//
// S26. [Server.Calls]: what was asked and answered, with neither secrets nor tokens.
//
// Not simulated: separate tenants of .com and .io, counting of the monthly quota, the push channel.
//
// # Clocks
//
// Options.Now is the time of the story: when records become visible, when tokens expire. The server's own clock, in Date and in the
// rules about 365 days and the future, is that plus Switches.Skew. Delays are real timers, so inside testing/synctest all of it is
// simulated; no goroutine is ever started.
//
// Sources: DingTalk's documents for the three calls, for paging, errors and limits; the models of its official SDKs; answers seen in
// public issues.
package dingtalktest
