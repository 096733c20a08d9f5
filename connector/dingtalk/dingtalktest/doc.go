// Package dingtalktest is a simulated DingTalk: the access token and the list of departed employees, served by an
// [http.Handler] or, without any network, by an [http.RoundTripper]. It refuses what DingTalk refuses, and knows nothing of any client.
//
// What follows is the specification of that API as far as it is known, by numbered rule. It is marked DOC where DingTalk's
// documentation or the models of its official SDKs say it, FIELD where one witness reports it, and UNKNOWN where nothing public settles it:
// then there is a switch ([Switches]), and a client has to be right under all of them, or the simulator keeps to the assumption that is
// named.
//
// # Transport
//
// S1. DOC: POST /v1.0/oauth2/accessToken, POST /v1.0/oauth2/{corpId}/token, GET /v1.0/contact/empLeaveRecords. UNKNOWN: what other
// paths and methods are answered; assumed: 404 InvalidAction.NotFound.
//
// S2. FIELD: every answer bears Server DingTalk/1.0.0, x-acs-request-id (upper-case UUID, the same as in an error's body) and
// x-acs-trace-id; JSON is application/json;charset=utf-8. Date is the server's clock. UNKNOWN: Retry-After. No document names it;
// switch retry-after.
//
// S3. FIELD: an error is {"code", "requestid", "message"}, and a missing permission adds
// "accessdenieddetail":{"requiredScopes":[…]}. DOC: the SDKs read Code, RequestId, Message, AccessDeniedDetail too; switch
// upper-camel-errors. FIELD: messages are Chinese, some English; switch english.
//
// UNKNOWN: in which order a call is judged. Assumed: IP block, token header present, token valid, IP white list, permission, monthly
// quota, rate, parameters, service. See checks.go.
//
// # Access token
//
// S4. DOC: the body is JSON {appKey, appSecret}, the answer {accessToken, expireIn}, expireIn in seconds. FIELD: a body that is no JSON
// is 400 Missingbody. DOC: a wrong key or secret is 400 invalidClientIdOrSecret.
//
// S5. DOC: valid for 7200 s; asked again within that time, the server gives the same token and renews its validity, later a new one. The
// old one is then refused. FIELD: a dead token may be given again while the server believes in it ([Server.RevokeToken]);
// [Server.ExpireTokens] ends the validity at once. Every token begins with [TokenMark].
//
// S6. DOC: the corp variant takes {client_id, client_secret, grant_type} and gives {access_token, expires_in}; 400 invalid.client, 400
// unsupported.grant.type. FIELD: an unknown corpId is 500 unknownError. UNKNOWN: whether asking again gives the same token; assumed: it does.
//
// S7. FIELD: only the header x-acs-dingtalk-access-token is looked at; none is 400 AuthenticationFailed.MissingParameter. DOC:
// unknown or expired is 400 InvalidAuthentication, not 401.
//
// S8. DOC: without the permission, 403 Forbidden.AccessDenied.AccessTokenPermissionDenied; requiredScopes is
// [Contact.Common.Read]. DOC: an address that is not on the app's list is 403 Forbidden.AccessDenied.IpNotInWhiteList. Both may begin and
// end at any moment: switches no-permission, ip-not-white-listed.
//
// S9. FIELD: api.dingtalk.io and api.dingtalk.com are two deployments of one API, and know nothing of each other's apps,
// organisations and tokens ([Options].Deployment). A call to the one where the organisation does not live, by its host or by
// [Server.Elsewhere], is refused with invalidClientIdOrSecret, unknownError (the corp variant: an unknown corpId) or
// InvalidAuthentication. Under any other host, e.g. loopback, the organisation is at home.
//
// # empLeaveRecords
//
// S10. DOC: startTime and maxResults are required. UNKNOWN: the code without them. FIELD, from other calls: Missing and the name of the
// parameter; switch missing-as-invalid.
//
// S11. DOC: times are RFC 3339, the documents' examples with Z; the SDK's examples have no zone; switch zoneless-request. FIELD: a "+"
// that was not percent-encoded arrives as a space. Refused with 400 invalidParameter.param.invalid (DOC), as by S12 to S14.
// UNKNOWN: parts of a second; assumed: cut off.
//
// S12. DOC: without endTime, startTime is at most 365 days ago, by the server's clock; with endTime, the span is at most 365 days. UNKNOWN:
// whether a window without endTime has an end; assumed: none, and a leaveTime in the future shows. FIELD: an older startTime is always
// refused (strict-history); any endTime is refused (refuse-end-time). UNKNOWN: an endTime in the future (refuse-future-end-time).
//
// S13. DOC: maxResults is at most 50. UNKNOWN: whether more is refused or counts as 50; switch clamp-max-results.
//
// S14. DOC: nextToken is "0" for the first page, else an opaque text; the example is 16 upper-case hexadecimal digits. UNKNOWN: how
// long it lives (page-token-ttl), the code that refuses it (page-token-code), what it is bound to (assumed: startTime, endTime,
// maxResults). Assumed: empty or absent is the first page too, and the same page asked again gives the same nextToken where the same page
// follows. Every nextToken begins with [PageTokenMark].
//
// S15. UNKNOWN: the end of a walk. DOC, of sibling APIs: nextToken is absent, null, "" or 0; FIELD: "0". Switch last-token.
//
// S16. UNKNOWN: whether a page may be short or empty though more follows (short-pages, empty-pages, full-last-page), whether a record may
// come twice (repeats). repeat-token is a server gone wrong.
//
// S17. UNKNOWN: the order of records (order), and what becomes of a walk when records come and go meanwhile (paging): a snapshot taken at
// the first page, a live offset, which shifts, or a live keyset. A walk keeps the order, paging, bounds and filter of its beginning.
//
// S18. UNKNOWN: whether the ends belong to the window (bounds), what is compared, leaveTime or the time of the operation (filter), and
// whether request times mean what they say (request-offset). Whole seconds count.
//
// S19. DOC: leaveTime is 2006-01-02T15:04:05Z in the example; elsewhere on the platform without seconds, with milliseconds, with an
// offset. UNKNOWN: which of them this call has when; switch time-format.
//
// S20. DOC: a record is {userId, name, stateCode, mobile, leaveTime, leaveReason}, all texts, all optional in the SDKs; mobile may be
// masked. UNKNOWN: which may be missing, null or empty (name, state-code, mobile), whether an empty page says [] or null (null-records);
// fields that no document names may come (unknown-fields). DOC: leaveReason is oapi, cancel, leave, unknown or delete; assumed:
// others may come.
//
// S21. UNKNOWN: how soon a departure shows, and whether it may be backdated, edited, moved or withdrawn: [Server.Leave], [Server.Edit]
// and [Server.Remove] do all of it. [Corpus] invents people.
//
// # Limits
//
// S22. DOC: 20 calls a second for each app and API (qps); beyond it 403 Forbidden.AccessDenied.QpsLimitForAppkeyAndApi. DOC: a
// limit a minute (qpm, QpmLimitForAppkeyAndApi) and one over all organisations (QpsLimitForApi) without a number; FIELD: the latter
// binds at full and half hours (busy-half-hours). UNKNOWN: what a second is; assumed: the clock's.
//
// S23. DOC: an organisation has a quota of calls a month, but this API is not counted; throttled calls are not either; when it is
// used up, calls still go through for up to 5 days. With monthly-quota data calls count, and are refused with 403
// Forbidden.AccessDenied.ApiCountLimitForOrg once it and quota-grace are spent. UNKNOWN: the zone of the month (assumed: UTC), whether a
// call refused for its parameters counts (assumed: it does, one refused for its token or permission does not).
//
// S24. DOC: above 10,000 calls in 20 s from one address, over all paths, every call from it is refused for 5 minutes, with an HTML page
// or a JSON object without code (block-above, block-page, block-for). UNKNOWN: the status. [Server.BlockIP] blocks on demand. Calls
// made through [Server.Transport] have one address.
//
// S25. [Fault]: wrong answers and broken connections, for the next n calls or by chance. Each is DOC (the global table of errors), or
// what may happen to any HTTP call on its way.
//
// # Watching and changing it
//
// S26. [Server.Calls]: what was asked and answered, with neither secrets nor tokens. [Server.Truth]: what a client has to have found.
// [Server.Do] and [Server.Play] carry out commands, now or when their time comes; [Server.Admin] is both for people, over HTTP.
//
// Not simulated: the push channel.
//
// # Clocks
//
// Options.Now is the time of the story: when records become visible, tokens expire, blocks end, steps of a script are due. The server's own
// clock, in Date, in the rules about 365 days and the future and in the limits of S22 and S23, is that plus the switch skew.
// Delays are real timers, so inside testing/synctest all of it is simulated; no goroutine is ever started.
//
// Sources: DingTalk's documents for the three calls, for paging, errors and limits; the models of its official SDKs; answers seen in
// public issues.
package dingtalktest
