package connector_test

import (
	"fmt"
	"strconv"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

// plan is how long the two sessions of a run last. Between them lie eleven hours in which the connector is not there, since a DingTalk that
// takes request times for those of +08:00 shows nobody before he is gone for eight hours.
type plan struct {
	first    time.Duration // session, from dawn on
	caughtUp time.Duration // after dawn, when whoever had left before it is published for sure
	second   time.Duration // session
	restarts bool          // walks begin again now and then
}

const away = 11 * time.Hour

// founded is where the companies' history and the connector's START are, before dawn. The windows of the catch-up end 7, 14 and 21 days
// after it, and the last of these lies before the last 32 hours, so that a poll does not show whoever left there.
const founded = -(22*day + 12*time.Hour)

// yesterday is when exactly one full page of people left, before dawn, ten minutes apart: within the last 24 hours, and within the last 24
// hours of eight hours ago.
const yesterday = -20 * time.Hour

// midWalk begins the names of those who are removed in mid-walk.
const midWalk = "removed-in-mid-walk-"

// history is who left before dawn, or was filed by then.
func history(dawn time.Time, plan plan) (all []dingtalktest.Leaver) {
	leave := func(who string, at time.Duration) *dingtalktest.Leaver {
		all = append(all, person(who, dawn.Add(at)))
		return &all[len(all)-1]
	}
	crowd := func(who string, at time.Duration) { // of whom little is known: a third of the time of these tests
		all = append(all, dingtalktest.Leaver{UserID: canaryUser + who, LeaveTime: dawn.Add(at)})
	}
	leave(midWalk+"1", founded+2*day) // filed before all others: on the first page, if that is the order
	leave(midWalk+"2", founded+4*day)
	leave("long-before-START", founded-7*time.Hour)
	leave("just-before-START", founded-time.Second)
	leave("at-START", founded)
	for k := range 3 { // the seconds around the end of each window, as it is asked for and as a DingTalk at +08:00 takes it
		end := founded + time.Duration(k+1)*7*day + time.Duration(k)*time.Second
		for s := range 4 {
			crowd(fmt.Sprintf("edge-%d-%d", k, s), end+time.Duration(s-1)*time.Second)
			crowd(fmt.Sprintf("shifted-edge-%d-%d", k, s), end+time.Duration(s-1)*time.Second-8*time.Hour)
		}
	}
	for k := range 62 { // more than a page holds, in one second
		crowd(fmt.Sprintf("bulk-%d", k), founded+3*day)
	}
	for k := range 33 { // with the bulk and those below more than two pages in one window
		crowd(fmt.Sprintf("early-%d", k), founded+day+time.Duration(k)*3*time.Hour)
	}
	leave("leaves-thrice", founded+3*day+time.Hour)
	leave("leaves-thrice", founded+5*day)
	leave("listed-twice", founded+4*day)
	leave("listed-twice", founded+4*day)
	leave("unreadable", founded+4*day).Raw = []byte(`{"userId":"","leaveTime":"yesterday"}`)
	for k := range 46 {
		crowd(fmt.Sprintf("yesterday-%d", k), yesterday+time.Duration(k)*10*time.Minute)
	}
	leave("leaves-thrice", yesterday+5*time.Minute)
	leave("removed", yesterday+15*time.Minute)
	leave("amended", yesterday+25*time.Minute)
	leave("moved", yesterday+35*time.Minute)
	for k := range 5 {
		leave(fmt.Sprintf("backdated-%d", k), founded+time.Duration(k+2)*day+time.Minute).OperatedAt = dawn.Add(founded + 18*day)
	}
	leave("ahead", 2*time.Hour).OperatedAt = dawn.Add(founded + 19*day)
	for who, at := range map[string]time.Duration{"shown-soon": -time.Minute, "shown-a-day-late": yesterday + time.Hour + time.Second} {
		leave(who, at).VisibleAt = dawn.Add(plan.caughtUp - time.Second) // a poll then shows more than a page
	}
	leave("shown-late", -6*time.Hour).VisibleAt = dawn.Add(plan.first - 10*time.Second)
	leave("shown-after-OVERLAP", founded+10*day).VisibleAt = dawn.Add(plan.first - 10*time.Second)
	return all
}

// happening is something that happens between two pages of a walk.
type happening struct {
	after    time.Duration // dawn
	from, to time.Duration // after dawn: in which the window begins that is walked
	do       func(c *company)
}

// story is what happens while pages are walked. Whoever is removed, or moved away, has been published by then, but for those who are removed
// in mid-walk: each is a departure if a page showed him before, and none otherwise.
func story(plan plan) []happening {
	return []happening{
		{0, founded - time.Hour, founded + day, func(c *company) { c.shake(1) }},
		{0, founded - time.Hour, founded + day, func(c *company) { c.shake(2) }},
		{0, -40 * time.Hour, day, func(c *company) {
			for k := range 2 { // in no poll, so that it does not matter which of the two comes first
				c.leave(fmt.Sprintf("inserted-3-%d", k), -34*time.Hour+time.Duration(k)*time.Hour)
			}
		}},
		{plan.caughtUp, -40 * time.Hour, day, func(c *company) {
			c.sim.Remove(canaryUser+"removed", c.dawn.Add(yesterday+15*time.Minute))
			c.leave("live", plan.caughtUp)
			c.sim.Leave(person("just-now", time.Now()))
			filed := person("filed-late", c.dawn.Add(-11*time.Hour))
			filed.OperatedAt = time.Now()
			c.sim.Leave(filed)
		}},
		{plan.caughtUp, -40 * time.Hour, day, func(c *company) {
			c.sim.Edit(canaryUser+"amended", c.dawn.Add(yesterday+25*time.Minute), func(l *dingtalktest.Leaver) { l.LeaveReason = "delete" })
			c.sim.Edit(canaryUser+"moved", c.dawn.Add(yesterday+35*time.Minute), func(l *dingtalktest.Leaver) {
				l.LeaveTime = l.LeaveTime.Add(time.Hour)
			})
			for k := range 4 {
				c.leave(fmt.Sprintf("live-bulk-%d", k), plan.caughtUp)
			}
		}},
	}
}

// shake puts people into the window of the first walk, and takes one away.
func (c *company) shake(n int) {
	for k := range 4 {
		c.leave(fmt.Sprintf("inserted-%d-%d", n, k), founded+day+time.Duration(k)*40*time.Hour+time.Duration(n)*time.Minute)
	}
	c.sim.Remove(canaryUser+midWalk+strconv.Itoa(n), c.dawn.Add(founded+time.Duration(n)*2*day))
}

func (c *company) leave(who string, at time.Duration) { c.sim.Leave(person(who, c.dawn.Add(at))) }
