/**
 * What is said where bytes are dear: what two devices tell each other of what they hold is little each time, and adds up to more in a day
 * than the commits of a small camp. So it is gathered; what concerns control facts and urgent commits is said at once.
 */
import { chatterMs } from './gathered.ts'
import type { Session } from './session.ts'

/**
 * Sorts what there is to say to a peer into what is said now, which stays in the session, and what is gathered.
 *
 * @param terms.isDear - every byte counts now, at this side or the other
 * @param terms.isUrgent - of a feed: control facts are too
 * @param terms.device - this one: its announcement is the receipt for what it was sent
 */
export function gather(
  session: Session,
  terms: {
    readonly isDear: boolean
    readonly isUrgent: (feed: string) => boolean
    readonly device: string
    readonly nowMs: number
  },
): void {
  const { unsaid, announcementsOut, gathered } = session
  const isOver = !terms.isDear || terms.nowMs >= gathered.saidAllMs + chatterMs
  if (
    unsaid.size + announcementsOut.size + gathered.unsaid.size + gathered.announcements.size ===
    0
  ) {
    // Of hundreds of sessions nearly all, each time.
    if (!isOver) return
    gathered.saidAllMs = terms.nowMs
    gathered.owesReceipt = false
    return
  }
  if (isOver) {
    for (const feed of gathered.unsaid) unsaid.add(feed)
    for (const [device, announcement] of gathered.announcements)
      if (!announcementsOut.has(device)) announcementsOut.set(device, announcement)
    gathered.unsaid.clear()
    gathered.announcements.clear()
    gathered.saidAllMs = terms.nowMs
    gathered.owesReceipt = false
    return
  }
  for (const feed of unsaid) {
    if (terms.isUrgent(feed)) gathered.owesReceipt = true
    else {
      unsaid.delete(feed)
      gathered.unsaid.add(feed)
    }
  }
  for (const [device, announcement] of announcementsOut) {
    announcementsOut.delete(device)
    gathered.announcements.set(device, announcement)
  }
  const receipt = gathered.announcements.get(terms.device)
  if (receipt === undefined || !gathered.owesReceipt) return
  // Whoever hears an announcement counts on having heard all that it tells of.
  for (const feed of gathered.unsaid) unsaid.add(feed)
  gathered.unsaid.clear()
  gathered.announcements.delete(terms.device)
  gathered.owesReceipt = false
  announcementsOut.set(terms.device, receipt)
}
