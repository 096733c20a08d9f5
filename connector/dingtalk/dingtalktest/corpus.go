package dingtalktest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Corpus invents n departures with leaveTime in [from, to), or at from if that is empty, in order of leaveTime; the same for the same
// arguments. userIds have 1 to 64 characters: mostly numbers and plain words, also with "@", "/", "%", "+", spaces and Chinese.
// Names are mostly Chinese, some with an emoji or 80 characters. One in 20 shares the second of the one before, as in a bulk delete;
// one in ten leaves at a full minute; one in 50 bears the userId of somebody who left earlier and was hired again. No two share userId
// and leaveTime. Corpora of different seeds rarely share a userId.
func Corpus(seed uint64, n int, from, to time.Time) []Leaver {
	r := rand.New(rand.NewPCG(seed, 0x1ea7e12))
	times := leaveTimes(r, n, from, to)
	company := r.Uint64N(1 << 36)
	taken := make(map[identity]bool, n)
	ls := make([]Leaver, n)
	for i := range ls {
		l := person(r, company, i)
		l.LeaveTime = times[i]
		if i > 0 && r.IntN(50) == 0 {
			if again := ls[r.IntN(i)].UserID; !taken[identity{again, l.LeaveTime.Unix()}] {
				l.UserID = again
			}
		}
		taken[identity{l.UserID, l.LeaveTime.Unix()}] = true
		ls[i] = l
	}
	return ls
}

func leaveTimes(r *rand.Rand, n int, from, to time.Time) []time.Time {
	from = from.UTC().Truncate(time.Second)
	span := int64(max(to.Sub(from)/time.Second, 1))
	offsets := make([]int64, n)
	for i := range offsets {
		switch at := r.Int64N(span); {
		case i > 0 && r.IntN(20) == 0:
			offsets[i] = offsets[i-1]
		case r.IntN(10) == 0:
			offsets[i] = max(at-(from.Unix()+at)%60, 0)
		default:
			offsets[i] = at
		}
	}
	slices.Sort(offsets)
	times := make([]time.Time, n)
	for i, at := range offsets {
		times[i] = from.Add(time.Duration(at) * time.Second)
	}
	return times
}

var (
	surnames   = strings.Fields("王 李 张 刘 陈 杨 赵 黄 周 吴 徐 孙 胡 朱 高 林 何 郭 马 罗 欧阳 司马 诸葛")
	givenNames = strings.Fields("伟 芳 娜 敏 静 丽 强 磊 军 洋 勇 艳 杰 娟 涛 明 超 秀英 志强 建国 晓梅 子轩 欣怡 浩然 梓涵 若曦 龘 𠮷")
	firstNames = strings.Fields("Alice Bob Chloé Dmitri Emma François Günther Hana Ivan José Kyoko Liam Mei Noor O'Brien Priya Quentin Søren")
	lastNames  = strings.Fields("Anderson Brown Chen da-Silva Evans Fischer García Hoang Ito Jones Kowalski Lee Müller Nguyễn Okafor Petrov")
	emoji      = strings.Fields("🌟 🐉 👩‍💻 🇨🇳 🦊 ✨")
	reasons    = strings.Fields("leave leave leave leave delete delete oapi cancel unknown transferred")
)

// person is the i-th of a company, without times.
func person(r *rand.Rand, company uint64, i int) Leaver {
	l := Leaver{UserID: userID(r, company, i), Name: new(name(r)), LeaveReason: pick(r, reasons)}
	switch r.IntN(12) {
	case 0: // an enterprise account without a mobile number
	case 1:
		l.StateCode, l.Mobile = new("+65"), new(fmt.Sprintf("9%07d", r.IntN(1e7)))
	default:
		l.StateCode, l.Mobile = new("86"), new(fmt.Sprintf("1%d%09d", 3+r.IntN(7), r.IntN(1e9)))
	}
	return l
}

// userID is unique in a company: company and i stand in it whole.
func userID(r *rand.Rand, company uint64, i int) string {
	number := fmt.Sprintf("%d%06d", company, i)
	switch r.IntN(20) {
	case 0:
		return "li.wei" + number + "@example.com"
	case 1:
		return "Mary Ann " + number
	case 2:
		return pick(r, []string{"dep/", "50%", "a+b", "员工", "<&>\"'", "%40/../"}) + number
	case 3:
		return strings.Repeat("x", 64-len(number)) + number
	case 4, 5, 6, 7, 8:
		return "manager" + number
	}
	return number
}

func name(r *rand.Rand) string {
	switch r.IntN(20) {
	case 0:
		return pick(r, surnames) + pick(r, givenNames) + pick(r, emoji)
	case 1:
		return string([]rune(strings.Repeat(pick(r, givenNames)+"·", 80))[:80])
	case 2, 3, 4, 5, 6:
		return pick(r, firstNames) + " " + pick(r, lastNames)
	}
	return pick(r, surnames) + pick(r, givenNames)
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }
