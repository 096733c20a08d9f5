package connector

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"departures/connector/dingtalk"
	"departures/connector/kafka"
)

// ruling is what to do about an error. Those that answer DingTalk leave the Kafka session alone: after a pause the same page is asked
// again. Rulings are compared by identity.
type ruling struct {
	name   string        // for people
	pause  time.Duration // the first pause; it doubles from one error to the next
	most   time.Duration // the longest pause
	steady int           // so many pauses in a row before they begin to double
	fix    string        // what a person can do about it, empty where time heals it
	alone  bool          // it concerns the window that met it: others are asked for meanwhile
}

// Rulings on what DingTalk answered. The pauses are DingTalk's own figures where it documents one (a second after a QPS limit, a
// minute after a per-minute limit, five minutes after an IP ban).
var (
	transient   = &ruling{name: "no answer that can be used", pause: time.Second, most: time.Minute, alone: true}
	throttled   = &ruling{name: "throttled", pause: time.Second, most: time.Minute, steady: 8}
	perMinute   = &ruling{name: "throttled for a minute", pause: time.Minute, most: 5 * time.Minute, steady: 8}
	banned      = &ruling{name: "IP address banned", pause: 5 * time.Minute, most: 5 * time.Minute, fix: "DingTalk bans an address for five minutes after 10,000 calls in 20 seconds: look for another program that calls from this one; or a page that is not DingTalk's came in its place: check DINGTALK_BASE_URL and the proxies on the way"}
	quota       = &ruling{name: "monthly quota used up", pause: time.Hour, most: time.Hour, fix: "buy calls for the organisation, or wait for the next month"}
	deadToken   = &ruling{name: "token refused", pause: time.Second, most: 5 * time.Minute, fix: "if it lasts: check in DingTalk's console that the app is enabled for the organisation"}
	noToken     = &ruling{name: "token not seen", pause: time.Second, most: 5 * time.Minute, fix: "check whether a proxy on the way takes the header x-acs-dingtalk-access-token out"}
	credentials = &ruling{name: "credentials refused", pause: 5 * time.Minute, most: 5 * time.Minute, fix: "check DINGTALK_APP_KEY and DINGTALK_APP_SECRET (in ORGS_FILE app_key and app_secret_file), and that DINGTALK_BASE_URL (api.dingtalk.com or api.dingtalk.io) is the one where the app lives"}
	permission  = &ruling{name: "permission missing", pause: time.Minute, most: 5 * time.Minute, fix: "grant the app the permission Contact.Common.Read in DingTalk's console"}
	whiteList   = &ruling{name: "IP address not on the white list", pause: time.Minute, most: 5 * time.Minute, fix: "add this host's public address to the app's server IP list in DingTalk's console"}
	badRequest  = &ruling{name: "window refused", pause: time.Second, most: time.Minute, alone: true, fix: "if it lasts: DingTalk may refuse endTime for this organisation, then set DINGTALK_END_TIME=never; or this host's clock is wrong"}
	nextToken   = &ruling{name: "walk begun again", pause: time.Second, most: time.Minute, alone: true} // the client goes on with the first page
)

// Rulings on Kafka. After the first two the session is thrown away and a new one opened; the pause after a fence is long, since
// another instance owns the state and two must not fight. The third ends the program.
var (
	sessionLost = &ruling{name: "session lost", pause: time.Second, most: 5 * time.Second}
	fenced      = &ruling{name: "fenced", pause: time.Second, most: 5 * time.Minute}
	refused     = &ruling{name: "refused"}
)

// byCode is DingTalk's error codes, whatever HTTP status they come with: the same code comes with several, throttling is a 403
// and an expired token a 400. A code that is not here is transient.
//
// Source: DingTalk's table of global error codes and the codes of the contact and OAuth 2 modules.
var byCode = map[string]*ruling{
	"InvalidAuthentication":                 deadToken, // the client has already tried a new token
	"AuthenticationFailed.MissingParameter": noToken,

	"invalidClientIdOrSecret": credentials,
	"invalid.client":          credentials,
	"unauthorized.client":     credentials,
	"unsupported.grant.type":  credentials,

	"Forbidden.AccessDenied.AccessTokenPermissionDenied": permission,
	"Forbidden.AccessDenied.IpNotInWhiteList":            whiteList,
	"errcode 60020": whiteList, // the same in the legacy style

	"Forbidden.AccessDenied.QpsLimitForApi":                  throttled,
	"Forbidden.AccessDenied.QpsLimitForAppkeyAndApi":         throttled,
	"Forbidden.AccessDenied.QpsLimitForSuitekeyAndOrgAndApi": throttled,
	"qps.exceed.limit":  throttled,
	"request.overlimit": throttled,
	"systemError.busy":  throttled,
	"Forbidden":         throttled, // the documentation allows permission or throttling
	"Forbidden.AccessDenied.ApiCountLimitForOrg": quota,

	"invalidParameter.param.invalid": badRequest,
}

// sessionError marks an error of the Kafka side, whatever it is: after it nothing is known of the session any more.
type sessionError struct{ error }

func (e sessionError) Unwrap() error { return e.error }

// Refusal ends the program: only a person can go on from here. Every fault stands in it at once, each with its way out.
type Refusal struct{ Faults []string }

func (r *Refusal) Error() string { return strings.Join(r.Faults, "\n") }

func refusef(format string, args ...any) *Refusal {
	return &Refusal{Faults: []string{fmt.Sprintf(format, args...)}}
}

// Explain puts an error of DingTalk's side into the words of the log: what it is, and what a person can do about it, "" where time
// heals it. again is after how long asking again may help.
func Explain(err error) (what, fix string, again time.Duration) {
	r := verdict(err)
	again = max(r.pause, askedPause(err))
	if r == permission || r == whiteList { // false ones vanish within seconds
		again = time.Second
	}
	return r.name, r.fixFor(err), again
}

// verdict is the one place where an error is classified.
func verdict(err error) *ruling {
	var (
		ours    *Refusal
		kafkas  *kafka.Refusal
		fence   *kafka.Fenced
		session sessionError
		token   *dingtalk.NextTokenError
		answer  *dingtalk.Error
	)
	switch {
	case errors.As(err, &ours), errors.As(err, &kafkas):
		return refused
	case errors.As(err, &fence):
		return fenced
	case errors.As(err, &session):
		return sessionLost
	case errors.As(err, &token):
		return nextToken
	case errors.As(err, &answer):
		return verdictOnAnswer(answer)
	}
	return transient // the network, a body cut short, an answer that is no page
}

func verdictOnAnswer(e *dingtalk.Error) *ruling {
	r, known := byCode[e.Code]
	switch {
	case e.Banned:
		return banned
	case e.Empty && e.Status == http.StatusForbidden:
		return throttled // by the documentation throttling or a missing permission
	case r == badRequest && e.OfToken:
		return transient // that call has no window
	case known:
		return r
	case strings.HasPrefix(e.Code, "Forbidden.AccessDenied.QpsLimit"):
		return throttled
	case strings.HasPrefix(e.Code, "Forbidden.AccessDenied.QpmLimit"):
		return perMinute
	}
	return transient
}

// refusesStart says that DingTalk refused the first page of a window for a parameter, as it does when the start is too old.
func refusesStart(err error) bool {
	var answer *dingtalk.Error
	return verdict(err) == badRequest && errors.As(err, &answer) && answer.FirstPage
}

// fixFor is what a person can do about err, with what DingTalk itself says of it: the permissions that are missing, the address that is
// not on the white list.
func (r *ruling) fixFor(err error) string {
	var (
		answer      *dingtalk.Error
		name        *net.DNSError
		certificate *tls.CertificateVerificationError
	)
	switch answered := errors.As(err, &answer); {
	case answered && len(answer.Scopes) > 0:
		return "grant the app in DingTalk's console: " + strings.Join(answer.Scopes, ", ")
	case answered && r == whiteList && answer.Address != "":
		return "add " + answer.Address + ", which is how DingTalk sees this host, to the app's server IP list in DingTalk's console"
	case answered && r == transient && answer.OfCorp && answer.Code == "unknownError":
		return "if it lasts: DingTalk may not know the organisation: check DINGTALK_CORP_ID (in ORGS_FILE corp_id), and that DINGTALK_BASE_URL (api.dingtalk.com or api.dingtalk.io) is the one where it lives"
	case answered && r == transient && (answer.Status == http.StatusNotFound || answer.Status/100 == 3):
		return "if it lasts: check that DINGTALK_BASE_URL is https://api.dingtalk.com or https://api.dingtalk.io"
	case errors.As(err, &name):
		return "if it lasts: check DINGTALK_BASE_URL and this host's DNS"
	case errors.As(err, &certificate):
		return "if it lasts: check DINGTALK_BASE_URL; and whether a proxy on the way has a certificate of its own, which this host must then trust"
	}
	return r.fix
}

// askedPause is how long DingTalk asked us to wait, zero if it did not.
func askedPause(err error) time.Duration {
	var answer *dingtalk.Error
	if errors.As(err, &answer) {
		return answer.RetryAfter
	}
	return 0
}
