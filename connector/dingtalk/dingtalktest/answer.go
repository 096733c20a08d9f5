package dingtalktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Codes of DingTalk's errors; the gateway's have a prefix, those of a service have not.
const (
	codeUnknownAPI   = "InvalidAction.NotFound"
	codeNoBody       = "Missingbody"
	codeBadClient    = "invalidClientIdOrSecret"
	codeCorpClient   = "invalid.client"
	codeGrantType    = "unsupported.grant.type"
	codeUnknownError = "unknownError"
	codeNoToken      = "AuthenticationFailed.MissingParameter"
	codeBadToken     = "InvalidAuthentication"
	codePermission   = "Forbidden.AccessDenied.AccessTokenPermissionDenied"
	codeIPWhiteList  = "Forbidden.AccessDenied.IpNotInWhiteList"
	codeQuota        = "Forbidden.AccessDenied.ApiCountLimitForOrg"
	codeQPS          = "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"
	codeQPSGlobal    = "Forbidden.AccessDenied.QpsLimitForApi"
	codeQPM          = "Forbidden.AccessDenied.QpmLimitForAppkeyAndApi"
	codeInvalid      = "invalidParameter.param.invalid"
	codeSystem       = "system.error"
	codeTimeout      = "service.timeout"
)

// messages of an error, Chinese and English: for people, a client must not read them. %s is the parameter.
var messages = map[string][2]string{
	codeUnknownAPI:   {"请求的接口不存在，请检查URL和请求方法", "Specified api is not found, please check your url and method."},
	codeNoBody:       {"body为必填参数", "body is mandatory for this action."},
	codeBadClient:    {"无效的clientId或者clientSecret", "invalid clientId or clientSecret"},
	codeCorpClient:   {"无效的client", "invalid client"},
	codeGrantType:    {"不支持的grant_type", "unsupported grant type"},
	codeUnknownError: {"未知错误", "unknown error"},
	codeNoToken:      {"缺少access_token参数", "Missing access_token"},
	codeBadToken:     {"不合法的access_token", "Invalid access_token"},
	codePermission:   {"应用尚未开通所需的权限：[Contact.Common.Read]", "the app lacks the scope: [Contact.Common.Read]"},
	codeIPWhiteList:  {"访问ip不在白名单之中", "the calling ip is not in the white list"},
	codeQuota:        {"企业当月API调用量已超出限制", "the monthly API calls of the organization are used up"},
	codeQPS:          {"应用调用该接口的QPS超出限制", "the app calls this API too often in a second"},
	codeQPSGlobal:    {"该接口的QPS超出全局限制", "this API is called too often in a second"},
	codeQPM:          {"应用调用该接口的QPM超出限制", "the app calls this API too often in a minute"},
	codeInvalid:      {"invalid parameter: %s不合法", "invalid parameter: %s"},
	codeSystem:       {"系统错误", "system error"},
	codeTimeout:      {"服务调用超时", "the service timed out"},
}

const (
	jsonType = "application/json;charset=utf-8"
	htmlType = "text/html;charset=utf-8"
)

// answer is what the server decided; how it reaches the client is for http.go and transport.go.
type answer struct {
	status int
	code   string // of an error
	header http.Header
	body   []byte
	shown  []*record     // that the page holds
	render func() []byte // the body, if it is not there yet

	fault string
	wire  Wire
	pause time.Duration // of the fault
	delay time.Duration // of every answer
}

func newAnswer(status int, contentType string, body []byte) *answer {
	a := &answer{status: status, header: http.Header{}, body: body}
	if contentType != "" {
		a.header.Set("Content-Type", contentType)
	}
	return a
}

func succeed(v any) *answer { return newAnswer(http.StatusOK, jsonType, encode(v)) }

// refuse is S3: DingTalk's error, with detail put into the message where it has a place for it.
func refuse(c *call, status int, code, detail string) *answer {
	a := newAnswer(status, jsonType, encode(errorBody(c, code, message(code, detail, c.sw.English))))
	a.code = code
	if c.sw.RetryAfter > 0 && (strings.Contains(code, ".Qps") || strings.Contains(code, ".Qpm")) {
		a.header.Set("Retry-After", strconv.Itoa(int(c.sw.RetryAfter/time.Second)))
	}
	return a
}

func message(code, detail string, english bool) string {
	texts, known := messages[code]
	if !known {
		texts = [2]string{"请求失败: " + detail, "request failed: " + detail}
	}
	text := texts[0]
	if english {
		text = texts[1]
	}
	if strings.Contains(text, "%s") {
		return fmt.Sprintf(text, detail)
	}
	return text
}

func errorBody(c *call, code, message string) any {
	type scopes struct {
		RequiredScopes []string `json:"requiredScopes"`
	}
	var denied *scopes
	if code == codePermission {
		denied = &scopes{[]string{"Contact.Common.Read"}}
	}
	if c.sw.UpperCamelErrors {
		return struct {
			Code, RequestId, Message string  //nolint:revive // DingTalk's spelling
			AccessDeniedDetail       *scopes `json:",omitempty"`
		}{code, c.id, message, denied}
	}
	return struct {
		Code               string  `json:"code"`
		RequestID          string  `json:"requestid"`
		Message            string  `json:"message"`
		AccessDeniedDetail *scopes `json:"accessdenieddetail,omitempty"`
	}{code, c.id, message, denied}
}

// finish is S2, and the body of a page, and compression. It needs no lock, since records that are visible never change.
func (a *answer) finish(c *call) {
	if a.render != nil {
		a.body = a.render()
	}
	a.header.Set("Server", "DingTalk/1.0.0")
	a.header.Set("Date", c.clock().UTC().Format(http.TimeFormat))
	a.header.Set("X-Acs-Request-Id", c.id)
	a.header.Set("X-Acs-Trace-Id", strings.ToLower(strings.ReplaceAll(c.id, "-", "")))
	if c.sw.Gzip && c.acceptGz && len(a.body) > 0 {
		a.header.Set("Content-Encoding", "gzip")
		a.body = compress(a.body)
	}
}

// requestID is an upper-case UUID.
func (s *Server) requestID() string {
	a, b := s.random.Uint64(), s.random.Uint64()
	return fmt.Sprintf("%08X-%04X-4%03X-%04X-%012X", a>>32, a>>16&0xffff, a&0xfff, b>>48&0x3fff|0x8000, b&0xffffffffffff)
}

// encode is the JSON of v as DingTalk writes it: on one line, no character escaped for HTML.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("dingtalktest: encode %T: %v", v, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
