"""Words that people use for each other in questions about documents, in English and German."""

from __future__ import annotations

_GROUPS = """
cost costs price amount expense expensive cheap fee charge pay paid payment budget spend spent ausgeben ausgegeben geld kosten preis teuer teuersten teuerste betrag gebühr ausgaben zahlen kostet
revenue turnover sales total income sold sell umsatz erlös einnahmen
profit earnings gain gewinn ergebnis
begin start launch live open inbetriebnahme eröffnung anfang beginn beginnen starten anfangen
end finish stop close complete ende enden abschluss abschließen schließen fertig
decide decision agree agreed resolve resolved approve approved vote adopt beschluss beschließen beschlossen entscheiden entscheidung
responsible owner lead charge assigned accountable zuständig verantwortlich verantwortung leitung
repair fix mend sort sorting restore reparatur reparieren instandsetzung beheben
cause reason because root trigger ursache grund auslöser weil
attend present participate attendance anwesend teilnehmen teilgenommen teilnehmer
absent apologies excused abwesend entschuldigt
deadline due until date frist termin bis fällig
risk danger threat hazard concern worry fear objection risiko risiken gefahr bedenken befürchten befürchtet sorge einwand
rent lease tenancy miete mietvertrag
terminate cancel quit notice kündigen kündigung
pet pets animal animals dog dogs cat cats haustier haustiere hund hunde katze tiere
staff employees headcount personnel people workforce mitarbeiter personal beschäftigte
increase grow growth rise rose raise higher steigen gestiegen erhöhen wachstum zunahme
decrease fall fell decline drop lower reduce sinken gesunken senken rückgang
home remote telework homeoffice mobil
customer client kunde kunden auftraggeber
duty shift watch call dienst schicht bereitschaft
discover notice noticed find found detect entdecken bemerken feststellen
meeting session sitzung besprechung versammlung treffen
next following nächste nächster nächsten folgende
buy purchase acquire order kaufen anschaffung beschaffung erwerben
replace exchange renew ersetzen austausch erneuern
delay late postponed behind verzug verzögerung verspätung verschoben
money cash balance account bank funds funding grant geld konto kontostand kassenbestand mittel zuschuss förderung finances finanzen
deposit security kaution sicherheit
house flat apartment home premises haus wohnung
car vehicle parking auto fahrzeug parken stellplatz
noise quiet silence lärm ruhe ruhezeit
chair chairman chairwoman chairperson president head vorsitz vorsitzende vorsitzender leiter leiterin
treasurer cashier finance finances kassenwart kassenwartin kassierer schatzmeister kasse finanzen
plan planned intend schedule planen geplant vorhaben
arrive receive deliver reach come eintreffen ankommen erhalten
work works employ employed job arbeiten arbeitet beschäftigt
problem issue trouble fault failure error störung fehler mangel problem
happen occur event ereignis passieren geschehen
test trial exercise check inspection prüfung probe kontrolle
licence license permit permission notice genehmigung erlaubnis lizenz
membership subscription dues beitrag mitgliedsbeitrag mitgliedschaft jahresbeitrag
later postpone postponed delay delayed verschieben verschiebt verschoben später
allow allowed permit permitted may erlauben erlaubt gestattet dürfen
forbid forbidden prohibit prohibited verboten untersagt
number count many total anzahl zahl summe insgesamt
long duration last lasted days hours minutes dauer dauern dauerte tage stunden
place location venue held ort raum
order commission assignment auftrag beauftragen vergeben
team staff crew mannschaft
visit visitors guests audience besucher gäste publikum
patient patients patienten
income salary wages einkommen
survey poll respondents participants umfrage befragte teilnehmer
result results findings outcome ergebnis ergebnisse befund
complaint complaints complain moan annoy annoyed criticism beschwerde beschwerden kritik
improve better progress verbessern besser fortschritt
weather rain storm frost wetter regen sturm
ilness sick sickness absence krank krankheit ausfall
food meal meals catering essen verpflegung
warranty guarantee liability garantie gewährleistung haftung
delivery shipment deliver liefern lieferung geliefert
suggest propose proposal recommend recommendation vorschlag vorschlagen empfehlen empfehlung
member members mitglied mitglieder
contract agreement vertrag vereinbarung
company firm contractor supplier firma unternehmen lieferant anbieter auftragnehmer
pay salary wage gehalt lohn
holiday leave vacation urlaub ferien
month monthly months monat monatlich monate
year yearly years jahr jährlich jahre
save saving savings sparen sparplan sparrate
simulate simulation simulieren simuliere
garbage rubbish waste bin müll abfall
"""

SYNONYMS: tuple[frozenset[str], ...] = tuple(frozenset(line.split()) for line in _GROUPS.strip().splitlines())
"""Each group means about the same."""
