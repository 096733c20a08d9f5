package dingtalktest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// maxAdminBody bounds what the admin port reads at once, in bytes: a script with a hundred thousand people.
const maxAdminBody = 32 << 20

// Admin is the JSON API by which people and scripts change a running server: GET / lists what there is. It asks for no credentials, and
// shows everybody who left. It gives out neither secrets nor tokens. What it refuses is 400 with an error that says what is
// expected.
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { tell(w, http.StatusOK, contents()) })
	mux.HandleFunc("GET /switches", func(w http.ResponseWriter, _ *http.Request) { tell(w, http.StatusOK, s.settings()) })
	mux.HandleFunc("PATCH /switches", s.patchSwitches)
	mux.HandleFunc("POST /commands", s.postCommand)
	mux.HandleFunc("GET /script", func(w http.ResponseWriter, _ *http.Request) { tell(w, http.StatusOK, s.Played()) })
	mux.HandleFunc("POST /script", s.postScript)
	mux.HandleFunc("GET /calls", s.getCalls)
	mux.HandleFunc("GET /truth", func(w http.ResponseWriter, _ *http.Request) { tell(w, http.StatusOK, told(s.Truth())) })
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { tell(w, http.StatusOK, s.outlook()) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuseAdmin(w, http.StatusNotFound, fmt.Errorf("no %s %s here: GET / lists what there is", r.Method, r.URL.Path))
	})
	return mux
}

// tell answers with v as JSON for people: indented, not escaped for HTML.
func tell(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // whoever asked may have gone
}

func refuseAdmin(w http.ResponseWriter, status int, err error) {
	tell(w, status, map[string]string{"error": err.Error()})
}

// CommandExamples has one of every command, as JSON.
func CommandExamples() []string {
	return []string{
		`{"set": {"order": "desc", "qps": 5, "skew": "-10m"}}`,
		`{"leave": {"count": 300, "ago": "1h", "over": "10m", "lag": "2m"}}`,
		`{"leave": {"people": [{"userId": "10000", "name": "张伟", "mobile": "18512347676", "leaveReason": "oapi"}]}}`,
		`{"edit": {"userId": "10000", "to": {"leaveReason": "leave"}, "moveBy": "-24h", "erase": ["mobile"]}}`,
		`{"remove": {"userId": "10000"}}`,
		`{"fail": {"fault": "500-system-error", "times": 3, "on": "all"}}`,
		`{"fail": {"status": 400, "code": "invalidNextToken", "probability": 0.1}}`,
		`{"heal": true}`,
		`{"blockIP": {"page": "html-200", "for": "5m"}}`,
		`{"expireTokens": true}`,
		`{"revokeToken": true}`,
		`{"expirePageTokens": true}`,
		`{"setSecret": "another"}`,
	}
}

func contents() any {
	examples := make([]json.RawMessage, len(CommandExamples()))
	for i, text := range CommandExamples() {
		examples[i] = json.RawMessage(text)
	}
	return struct {
		Paths    map[string]string `json:"paths"`
		Commands []json.RawMessage `json:"commands"`
	}{map[string]string{
		"GET /switches":   "every switch: its value, what it takes and which doubt it stands for",
		"PATCH /switches": `changes some, e.g. {"order": "desc"}`,
		"POST /commands":  "does one of the commands below, at once",
		"POST /script":    `begins a list of commands that each have one more field "after", e.g. [{"after": "30s", "heal": true}]`,
		"GET /script":     "what is done and what is to come of the scripts begun",
		"GET /calls":      "the last 100 calls, or ?last=N",
		"GET /truth":      "every departure that is or ever was visible",
		"GET /faults":     "the faults that there are, and those to come",
	}, examples}
}

// shownSwitch is a switch as the admin port shows it.
type shownSwitch struct {
	Name    string   `json:"name"`
	Value   string   `json:"value"`
	Default string   `json:"default"`
	Takes   string   `json:"takes"`
	Kinds   []string `json:"kinds,omitempty"`
	Rule    string   `json:"rule"`
	Doubt   string   `json:"doubt"`
}

func (s *Server) settings() []shownSwitch {
	s.enter()
	defer s.mu.Unlock()
	var all []shownSwitch
	for _, x := range allSwitches {
		all = append(all, shownSwitch{x.Name, x.Text(s.switches), x.Default, x.Takes(), x.Kinds, x.Rule + " " + x.Subject, x.Doubt})
	}
	return all
}

func (s *Server) patchSwitches(w http.ResponseWriter, r *http.Request) {
	values, err := readJSON[map[string]Setting](http.MaxBytesReader(w, r.Body, maxAdminBody), "switches")
	if err == nil {
		err = s.Do(Command{Set: values})
	}
	if err != nil {
		refuseAdmin(w, http.StatusBadRequest, err)
		return
	}
	tell(w, http.StatusOK, s.settings())
}

func (s *Server) postCommand(w http.ResponseWriter, r *http.Request) {
	c, err := ReadCommand(http.MaxBytesReader(w, r.Body, maxAdminBody))
	if err == nil {
		err = s.Do(c)
	}
	if err != nil {
		refuseAdmin(w, http.StatusBadRequest, fmt.Errorf("%w; GET / has examples", err))
		return
	}
	tell(w, http.StatusOK, map[string]string{"done": c.said()[0]})
}

func (s *Server) postScript(w http.ResponseWriter, r *http.Request) {
	x, err := ReadScript(http.MaxBytesReader(w, r.Body, maxAdminBody))
	if err == nil {
		err = s.Play(x)
	}
	if err != nil {
		refuseAdmin(w, http.StatusBadRequest, fmt.Errorf("%w; GET / has examples", err))
		return
	}
	tell(w, http.StatusOK, s.Played())
}

func (s *Server) getCalls(w http.ResponseWriter, r *http.Request) {
	last := 100
	if text := r.URL.Query().Get("last"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			refuseAdmin(w, http.StatusBadRequest, fmt.Errorf("last %q: no whole number above 0", text))
			return
		}
		last = n
	}
	calls := s.Calls()
	tell(w, http.StatusOK, calls[max(len(calls)-last, 0):])
}

// told is departures in JSON.
func told(ds []Departure) any {
	type departure struct {
		Person
		Removed bool `json:"removed"`
		Shown   bool `json:"shown"`
	}
	all := make([]departure, len(ds))
	for i, d := range ds {
		all[i] = departure{Person{
			UserID: d.UserID, Name: d.Name, StateCode: d.StateCode, Mobile: d.Mobile, LeaveTime: &d.LeaveTime,
			LeaveReason: d.LeaveReason, Raw: string(d.Raw),
		}, d.Removed, d.Shown}
	}
	return all
}

// outlook is what may go wrong next.
func (s *Server) outlook() any {
	type pending struct {
		Fault string `json:"fault"`
		On    Target `json:"on,omitempty"`
		Left  int    `json:"left,omitempty"`
	}
	type answer struct {
		Known        []string  `json:"known"`
		Queued       []pending `json:"queued"`
		Probability  float64   `json:"probability"`
		ByChance     []pending `json:"byChance"`
		BlockedUntil time.Time `json:"blockedUntil,omitzero"` // on demand
	}
	now := s.enter()
	defer s.mu.Unlock()
	a := answer{Queued: []pending{}, ByChance: []pending{}, Probability: s.faults.probability}
	for _, f := range Faults() {
		a.Known = append(a.Known, f.Slug())
	}
	for _, q := range s.faults.queue {
		a.Queued = append(a.Queued, pending{q.Slug(), q.On, q.left})
	}
	for _, f := range s.faults.drawn {
		a.ByChance = append(a.ByChance, pending{f.Slug(), f.On, 0})
	}
	if now.Before(s.block.until) {
		a.BlockedUntil = s.block.until
	}
	return a
}
