package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/promisetest"
)

// The organisation and its app; they open nothing but the simulator.
const (
	corpID    = "dingdemo"
	appKey    = "demo-app"
	appSecret = "demo-secret"
)

const (
	// history is how far back the company's departures go: all that DingTalk shows with any certainty.
	history = 364 * 24 * time.Hour
	// latest is how much later than it happened a departure may become visible.
	latest = 3 * time.Second
)

var (
	surnames = strings.Fields("Wang:王 Li:李 Zhang:张 Liu:刘 Chen:陈 Yang:杨 Zhao:赵 Huang:黄 Zhou:周 Wu:吴 Xu:徐 Sun:孙 Ouyang:欧阳")
	given    = strings.Fields("Wei:伟 Fang:芳 Na:娜 Min:敏 Jing:静 Qiang:强 Lei:磊 Yang:洋 Yong:勇 Jie:杰 Xiuying:秀英 Zhiqiang:志强 Xiaomei:晓梅")
	first    = strings.Fields("Alice:Alice Bob:Bob Chloe:Chloé Dmitri:Dmitri Emma:Emma Guenther:Günther Hana:Hana Jose:José Mei:Mei Noor:Noor Priya:Priya Soeren:Søren")
	last     = strings.Fields("Brown:Brown Evans:Evans Garcia:García Hoang:Hoang Ito:Ito Jones:Jones Kowalski:Kowalski Mueller:Müller Okafor:Okafor Petrov:Petrov Singh:Singh")
	reasons  = strings.Fields("leave leave leave leave leave delete oapi cancel unknown")
)

// company is a simulated DingTalk, and who leaves.
type company struct {
	sim    *dingtalktest.Server
	random *rand.Rand
	every  time.Duration
	hired  int
	past   []dingtalktest.Leaver // who may come back and leave again
	left   atomic.Int64
}

// newCompany has a year of history.
func newCompany(seed uint64, every time.Duration, now time.Time) *company {
	c := &company{
		sim: dingtalktest.New(dingtalktest.Options{
			CorpID: corpID, AppKey: appKey, AppSecret: appSecret, Seed: seed, Switches: dingtalktest.Switches{QPS: -1},
		}),
		random: rand.New(rand.NewPCG(seed, 0xc0)),
		every:  every,
	}
	from, to := now.Add(-history+24*time.Hour), now.Add(-time.Hour)
	for range 60 + c.random.IntN(41) {
		p := c.person()
		p.LeaveTime = from.Add(time.Duration(c.random.Int64N(int64(to.Sub(from))))).Truncate(time.Second)
		c.past = append(c.past, p)
	}
	c.leave(c.past...)
	return c
}

// departures is how many there are so far, those that are not yet visible included.
func (c *company) departures() int { return int(c.left.Load()) }

// run lets people leave until ctx ends: one by one, or a handful in the same second as in a bulk delete.
func (c *company) run(ctx context.Context) {
	for {
		pause := time.NewTimer(time.Duration(float64(c.every) * (0.3 + 1.4*c.random.Float64())))
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case now := <-pause.C:
			c.leave(c.leavers(now)...)
		}
	}
}

// truth is every departure that DingTalk ever showed, as the promise counts them.
func (c *company) truth() []promisetest.Departure { return promisetest.Owed(c.sim, time.Time{}) }

func (c *company) leave(ls ...dingtalktest.Leaver) {
	c.sim.Leave(ls...)
	c.left.Add(int64(len(ls)))
}

// leavers is who leaves next.
func (c *company) leavers(now time.Time) []dingtalktest.Leaver {
	n := 1
	if c.random.IntN(8) == 0 {
		n = 3 + c.random.IntN(4)
	}
	ls := make([]dingtalktest.Leaver, n)
	for i := range ls {
		ls[i] = c.person()
		if n > 1 {
			ls[i].LeaveReason = "delete"
		}
		ls[i].LeaveTime = now.UTC().Truncate(time.Second)
	}
	switch c.random.IntN(10) {
	case 0: // DingTalk promises no time until a departure is visible
		ls[0].VisibleAt = now.Add(latest/2 + time.Duration(c.random.Int64N(int64(latest/2))))
	case 1: // hired again, and gone again
		if again := len(c.past); again > 0 {
			ls[0].Name, ls[0].UserID = c.past[again-1].Name, c.past[again-1].UserID
			c.past = c.past[:again-1]
		}
	}
	return ls
}

// person is somebody whom nobody has seen before, without a leaveTime.
func (c *company) person() dingtalktest.Leaver {
	c.hired++
	var name, id string
	if c.random.IntN(3) > 0 {
		sur, fore := c.pick(surnames), c.pick(given)
		name, id = sur.written+fore.written, sur.latin+"."+fore.latin
	} else {
		fore, sur := c.pick(first), c.pick(last)
		name, id = fore.written+" "+sur.written, fore.latin+"."+sur.latin
	}
	code, mobile := "86", fmt.Sprintf("1%d%09d", 3+c.random.IntN(7), c.random.IntN(1e9))
	return dingtalktest.Leaver{
		UserID:      fmt.Sprintf("%s.%d", strings.ToLower(id), 1000+c.hired),
		Name:        &name,
		StateCode:   &code,
		Mobile:      &mobile,
		LeaveReason: reasons[c.random.IntN(len(reasons))],
	}
}

// word is part of a name: as in a userId, and as its bearer writes it.
type word struct{ latin, written string }

func (c *company) pick(from []string) word {
	latin, written, _ := strings.Cut(from[c.random.IntN(len(from))], ":")
	return word{latin, written}
}
