"""Makes templates at random and writes what jinja2, as transformers compiles it, makes of them.

python jinja-cases.py <seed> <count> expr|stm|mix <file.json>

The file holds {"pre": what stands before each, "cases": [[template, text or {"err": ...}], ...]}. tests/fixtures/jinja/
expressions.json is a choice of seeds 1 to 7: short ones, those that show an address in memory left out, null for an error.
"""

import json,sys,random,signal
from datetime import datetime
import transformers.utils.chat_template_utils as c
fixed=datetime(2024,7,26,12,0,0)
class D(datetime):
    @classmethod
    def now(cls,tz=None): return fixed
c.datetime=D
seed=int(sys.argv[1]); N=int(sys.argv[2]); R=random.Random(seed)
pick=R.choice
STR=["''","'a'","'abc'","'Hello World'","'  pad  '","'a,b,,c'","'ÀÉ ß'","'😀x😀'","'l1\\nl2\\r\\nl3\\n'","'<b>&\"'","'it\\'s'","'%s-%d'","'{}:{}'","'0'","'12'","' 1.5 '","'-3'","'True'","'aXbXc'","'foo bar baz qux'","'A\\tB'","'\\x85n\\u2028'","'z'","'x' 'y'","'\\\\'", "'ΑΣ'","'ǆx'","'nan'","'1e3'","'a.b.c'","'__class__'"]
INT=["0","1","2","3","-1","-2","7","10","100","255","9223372036854775808","1_000","0x1F"]
FLO=["0.0","0.5","1.0","1.5","2.5","-1.5","1e16","1e-05","3.14159","100.0","1e22","0.1","2.675","1234567.891"]
NAMES=["s","n","f","l","t","d","u","ns","msgs","b","o","e","g","nums","words","people"]
PRE="{% set s='Hello World' %}{% set n=5 %}{% set f=2.5 %}{% set l=[3,'b',none,2.0,True] %}{% set t=(1,'x') %}{% set d={'a':1,'B':'two','c':[1,2],'items':'it',3:'three'} %}{% set ns=namespace(x=1,y='q') %}{% set b=true %}{% set o=none %}{% set e='' %}{% set nums=[3,1,2,10,-5] %}{% set words=['pear','Apple','fig','apple','Fig'] %}{% set people=[{'name':'Bob','age':30},{'name':'amy','age':25},{'name':'Cy','age':30,'city':'X'}] %}"
def i(): return pick(INT) if R.random()<.8 else pick(["n","l|length","s|length","nums[0]"])
def st(dp=0):
    r=R.random()
    if r<.6 or dp>2: return pick(STR+["s","e","words[1]"])
    return ex('str',dp+1)
def small(): return pick(["0","1","2","3","-1","4","none"])
def key(): return pick(["'a'","'B'","'c'","'items'","'zz'","3","'name'","'age'","0","-1","n","true"])
def lst(dp=0):
    r=R.random()
    if r<.35: return pick(["l","nums","words","people","t","msgs","d","range(4)","'abc'","u"])
    if r<.6: return '['+', '.join(ex('any',dp+1) for _ in range(R.randint(0,3)))+']'
    if r<.7: return '('+', '.join(ex('any',dp+1) for _ in range(R.randint(0,3)))+(',' if R.random()<.4 else '')+')'
    if r<.8: return "{"+', '.join(key()+': '+ex('any',dp+1) for _ in range(R.randint(0,3)))+"}"
    return pick(["words|map('upper')","nums|select('odd')","people|map(attribute='name')","people|selectattr('age','equalto',30)","words|reject('in',['fig'])","d.items()","d.keys()","d|dictsort","nums|sort","words|unique","s|list","range(1,10,3)","people|groupby('age')","nums|batch(2)","nums|slice(2)","d|items","words|reverse","people|rejectattr('city','defined')","people|sort(attribute='name')"])
def dic(): return pick(["d","people[0]","{'k':1,'v':[1,{'z':none}]}","{}","{1:2,true:3,'x':1.5}","dict(a=1,b='é')","{'b':1,'a':2.50,'é':'\"\\n/'}"])
FSTR=["upper","lower","title","capitalize","trim","length","list","string","reverse","first","last","int","float","tojson","safe","escape","e","wordcount","striptags","urlencode","replace('a','b')","replace('l','L',1)","indent","indent(2)","indent(2,true)","indent(width='>>',first=True,blank=true)","center(11)","truncate(5)","truncate(5,true)","truncate(7,false,'..',0)","default('x')","default('x',true)","trim('Hd')","join('-')","int(7)","int(default=3,base=16)","format(1,2)","d('q')","forceescape","count","unique|list","sort|join","batch(2)|list","min","max","select|list","groupby(0)","sum","round","attr('upper')","filesizeformat","items|list","map('upper')|list","map('int')|list","center(width=20)","string|length","tojson(indent=2)","abs"]
FLST=["length","first","last","join(', ')","join","list","sort","sort(reverse=true)","sort(attribute='age')","sort(attribute='name',reverse=true)","sort(case_sensitive=true)","unique|list","map('string')|list","map('upper')|join","map(attribute='name')|list","map(attribute='city',default='?')|join(',')","map(attribute=0)|list","selectattr('age')|list","selectattr('age','gt',26)|map(attribute='name')|join","rejectattr('city')|list","selectattr('city','undefined')|list","select('string')|list","select('number')|list","reject('none')|list","select('equalto',1)|list","sum","sum(start=10)","sum(attribute='age')","min","max","min(attribute='age')","max(case_sensitive=true)","reverse|list","batch(2)|list","batch(2,'x')|list","slice(2)|list","slice(3,'-')|list","groupby('age')|list","groupby('city',default='N')|list","tojson","tojson(indent=2)","tojson(indent=0)","tojson(sort_keys=true)","tojson(separators=(',',':'))","tojson(ensure_ascii=true)","tojson(true)","string","dictsort","count","default([])","join('|',attribute='name')","items|list","map('int')|sum","first|string","string|length","select|list","reject|list","sort|last","length > 2","map('default','z')|list","map('length')|list","list|tojson","list|string"]
FNUM=["abs","int","float","round","round(1)","round(2,'floor')","round(1,'ceil')","round(-1)","string","tojson","filesizeformat","filesizeformat(true)","default(1)","length","string|length","format(1)","list","round|int","abs|string"]
TST=["defined","undefined","none","string","number","integer","float","boolean","mapping","sequence","iterable","callable","true","false","odd","even","divisibleby(2)","divisibleby 3","eq(1)","equalto 'a'","ne none","gt 1","lt(2.5)","ge 0","le 3","in [1,'a',none]","in 'abc'","sameas true","sameas none","lower","upper","escaped","filter","test","==(1)","greaterthan 1"]
TST=[x for x in TST if not x.startswith('==')]
MSTR=["upper()","lower()","strip()","lstrip()","rstrip()","strip('Hd ')","split()","split(',')","split('X',1)","rsplit('X',1)","rsplit(None,1)","split(maxsplit=1)","splitlines()","splitlines(true)","startswith('H')","startswith(('a','H'))","endswith('d')","startswith('e',1)","find('l')","find('l',4)","rfind('l')","index('a')","count('l')","count('')","replace('l','L')","replace('','-')","replace('l','',1)","join(['a','b'])","join(words)","join('xyz')","title()","capitalize()","swapcase()","casefold()","isdigit()","isalpha()","isalnum()","isspace()","isupper()","islower()","istitle()","isnumeric()","isidentifier()","isascii()","isprintable()","center(15,'*')","ljust(12)+'|'","rjust(12,'.')","zfill(8)","partition('l')","rpartition('l')","removeprefix('He')","removesuffix('ld')","expandtabs(4)","format(1,2)","format('a',n=3)","format(*l)","format(**d)","foo","foo()","startswith(1)","split('')","encode","isdecimal()"]
FMT=["'{}'","'{0}-{0}'","'{:>8}|'","'{:<8}|'","'{:^8}|'","'{:08.3f}'","'{:+d}'","'{:,}'","'{:_}'","'{:x}'","'{:#x}'","'{:b}'","'{:e}'","'{:.2e}'","'{:g}'","'{:.3g}'","'{:%}'","'{:.1%}'","'{!r}'","'{!s:>6}'","'{:*^9}'","'{:.3}'","'{{{}}}'","'{0[0]}'","'{0.a}'","'{0[a]}'","'{:{}}'","'{:05d}'","'{:,.2f}'","'{:=+8}'","'{:s}'","'{:d}'","'{:010,}'","'{:o}'","'{:X}'","'{:n}'"]
PCT=["'%s'","'%d'","'%5d|'","'%-5d|'","'%05d'","'%+d'","'% d'","'%x'","'%#x'","'%X'","'%o'","'%f'","'%.2f'","'%8.3f|'","'%e'","'%.0f'","'%g'","'%.3g'","'%G'","'%r'","'%s %s'","'%10s|'","'%-10s|'","'%.2s'","'%c'","'%%%s'","'%(a)s'","'%(a)s-%(B)s'","'%i'","'%5.1f%%'","'%*d'"]
MDIC=["get('a')","get('zz')","get('zz',5)","get('zz','x')|upper","keys()|list","values()|list","items()|list","items","keys","a","zz","c[0]","copy()","pop('a')","update({'q':1})","get","items()","values()","keys()","items()|length","3","B.upper()"]
MLST=["index(3)","count(1)","append(1)","0","1.foo","[0]","copy()","pop()","insert(0,1)"]
BIN=["+","-","*","/","//","%","**"]
CMP=["==","!=","<","<=",">",">=","in","not in"]
def idx(): return pick(["[0]","[-1]","[1:]","[:-1]","[::2]","[::-1]","[1:3]","[-2:]","[5:1:-1]","[10]","['a']","[none:2]","[n]","[:n]","[0:0]","[-100:100]","[true]","[1.0]","['length']","[::0]"])
def ex(ty,dp=0):
    r=R.random()
    if dp>3:
        return {'str':lambda:pick(STR),'int':i,'num':lambda:pick(INT+FLO),'list':lambda:pick(["l","nums","words"]),'dict':dic}.get(ty,lambda:pick(STR+INT+FLO+NAMES+["true","false","none"]))()
    if ty=='any': ty=pick(['str','str','int','num','list','dict','bool','cond','name','atom','atom'])
    if ty=='atom': return pick(STR+INT+FLO+["true","false","none","[]","{}","()","u"])
    if ty=='name': return pick(NAMES)
    if ty=='int': return i() if r<.5 else par(ex('int',dp+1))+' '+pick(["+","-","*","//","%"])+' '+par(ex('int',dp+1))
    if ty=='num':
        if r<.35: return pick(INT+FLO+["n","f","true"])
        if r<.7: return par(ex('num',dp+1))+' '+pick(BIN if dp>1 else BIN[:-1])+' '+par(ex('num',dp+1)) if R.random()<.9 else pick(INT+FLO)+' ** '+small()
        if r<.8: return pick(['-','+'])+par(ex('num',dp+1))
        return par(ex('num',dp+1))+'|'+pick(FNUM)
    if ty=='str':
        if r<.15: return pick(STR)
        if r<.3: return par(ex('str',dp+1))+' ~ '+par(ex('any',dp+1))
        if r<.38: return par(ex('str',dp+1))+' + '+par(ex('str',dp+1))
        if r<.6: return par(ex('str',dp+1))+'|'+pick(FSTR)
        if r<.85: return par(ex('str',dp+1))+'.'+pick(MSTR)
        if r<.9: return par(ex('str',dp+1))+idx()
        if r<.95: return pick(PCT)+' % '+pick([par(ex('any',dp+1)),par(ex('num',dp+1)),'('+ex('any',dp+1)+', '+ex('any',dp+1)+')','d'])
        return pick(FMT)+'.format('+', '.join(pick([ex('any',dp+1),ex('num',dp+1)]) for _ in range(R.randint(1,2)))+')'
    if ty=='list':
        if r<.3: return lst(dp)
        if r<.7: return par(lst(dp))+'|'+pick(FLST)
        if r<.85: return par(lst(dp))+idx()
        if r<.92: return par(lst(dp))+' + '+par(lst(dp))
        return par(lst(dp))+'.'+pick(MLST)
    if ty=='dict':
        if r<.3: return dic()
        if r<.6: return dic()+'.'+pick(MDIC)
        if r<.75: return dic()+'['+key()+']'
        return par(dic())+'|'+pick(FLST)
    if ty=='bool':
        if r<.35: return par(ex('any',dp+1))+' '+pick(CMP)+' '+par(ex('any',dp+1))
        if r<.45: return par(ex('num',dp+1))+' '+pick(CMP[:6])+' '+par(ex('num',dp+1))+(' '+pick(CMP[:6])+' '+par(ex('num',dp+1)) if R.random()<.3 else '')
        if r<.7: return par(ex('any',dp+1))+' is '+pick(['','','not '])+pick(TST)
        if r<.8: return 'not '+ex('any',dp+1)
        if r<.9: return ex('any',dp+1)+pick([' and ',' or '])+ex('any',dp+1)
        return ex('str',dp+1)+' in '+pick(["s","words","d","'abc'","t"])
    if ty=='cond': return ex('any',dp+1)+' if '+ex('bool',dp+1)+(' else '+ex('any',dp+1) if R.random()<.8 else '')
    return pick(NAMES)
def par(x): return x if R.random()<.15 else '('+x+')'
def ws(): return pick(["","","\n","  ","\n  "," \n\n","\t","x","\n x"])
def tag(x):
    a=pick(["","","-","","+"]); b=pick(["","","-","","+"])
    return "{%"+a+" "+x+" "+b+"%}"
def out(x):
    a=pick(["","","-"]); b=pick(["","","-"]); return "{{"+a+" "+x+" "+b+"}}"
LOOP=["loop.index","loop.index0","loop.first","loop.last","loop.length","loop.revindex","loop.revindex0","loop.previtem","loop.nextitem","loop.cycle('a','b')","loop.changed(x)","loop.depth","loop","loop.foo"]
def stm(dp,inloop=False,inmac=False):
    r=R.random()
    if dp>3 or r<.3:
        e=pick([ex('any',2),pick(NAMES+["x","y","z","k","v"])]) if not inloop or R.random()<.5 else pick(LOOP)
        return out(e)+ws()
    if r<.42: return tag("if "+ex(pick(['bool','any']),2))+ws()+body(dp,inloop,inmac)+(tag("elif "+ex('bool',2))+body(dp,inloop,inmac) if R.random()<.3 else '')+(tag("else")+body(dp,inloop,inmac) if R.random()<.5 else '')+tag("endif")+ws()
    if r<.58:
        tgt,it=pick([("x",None),("x",None),("k, v","d.items()"),("k, v","d|dictsort"),("x","range(3)"),("k, v","[(1,2),(3,4)]"),("x","nums"),("x","msgs")])
        it=it or ex('list',2)
        cond=" if "+ex('bool',2).replace('n','n') if R.random()<.2 else ''
        b=body(dp,True,inmac)
        if R.random()<.3: b+=tag("if "+ex('bool',2))+tag(pick(["break","continue"]))+tag("endif")+body(dp+1,True,inmac)
        return tag(f"for {tgt} in {it}{cond}")+ws()+b+(tag("else")+"E" if R.random()<.3 else '')+tag("endfor")+ws()
    if r<.7: return tag("set "+pick(["x","y","z","n","s","ns.x","ns.z","x, y","loop2","u"])+" = "+pick([ex('any',2),"(1,2)","x","z ~ 'q'","y","ns.x + 1","n + 1"]))+ws()
    if r<.76: return tag("set "+pick(["x","y","z"])+pick(["","","|upper","|trim|length","|replace('a','b')"]))+body(dp,inloop,inmac)+tag("endset")+ws()
    if r<.84:
        nm=pick(["m1","m2"]); sig=pick(["","a","a, b=2","a, b='q', c=a","x=n","a=u"])
        b=body(dp,False,True)+pick(["","{{ a }}","{{ varargs }}","{{ kwargs }}","{{ caller() if caller }}","{{ caller('p') }}","{{ b }}{{ c }}","{{ x }}{{ y }}"])
        call=nm+"("+pick(["","1","'a', 2","b=3","a='k'","1, c=4","1,2,3,4","*[1,2]","**{'a':9}","x=1, zz=2"])+")"
        return tag(f"macro {nm}({sig})")+ws()+b+tag("endmacro")+ws()+out(pick([call,call,call+"|upper",nm,nm+".name",nm+".arguments"]))
    if r<.87: return "{% macro w(t) %}<{{ t }}:{{ caller("+pick(["","1","t"])+") }}>{% endmacro %}"+tag("call"+pick(["","(p)","(p=3)"])+" w("+ex('any',2)+")")+body(dp,False,True)+pick(["","{{ p }}"])+tag("endcall")
    if r<.9: return tag("filter "+pick(["upper","trim","replace('a','b')|upper","indent(2)","tojson"]))+body(dp,inloop,inmac)+tag("endfilter")
    if r<.94: return tag("with "+pick(["x=1","y=n, z=y","x="+ex('any',2),"s='W'"]))+body(dp,inloop,inmac)+tag("endwith")
    if r<.96: return pick(["{% raw %} {{ x }} {%- endraw -%} ","{#- c -#} ","{# c #}\n","{% generation %}g{{ s }}{% endgeneration %}","{%- raw -%}\n {% y %} {% endraw %}\n"])
    if r<.98: return pick(["{% block bb %}{{ s }}{% endblock %}","{% set c = cycler('a','b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}","{% set j = joiner('|') %}{{ j() }}a{{ j() }}b","{{ strftime_now('%d %b %Y %A %-d %j %H:%M') }}","{{ raise_exception('no') if b and x is defined }}"])
    return "text "+ws()
def body(dp,inloop,inmac): return ''.join(ws()+stm(dp+1,inloop,inmac) for _ in range(R.randint(1,2)))
def alarm(*a): raise TimeoutError
signal.signal(signal.SIGALRM,alarm)
res=[]
mode=sys.argv[3] if len(sys.argv)>3 else 'mix'
while len(res)<N:
    if mode=='expr' or (mode=='mix' and R.random()<.65): t=PRE+"{{ "+ex('any')+" }}"
    else: t=PRE+''.join(ws()+stm(0) for _ in range(R.randint(1,4)))
    if '** ' in t and ('9223372036854775808' in t or '1e' in t or '1_000' in t): continue
    try:
        signal.setitimer(signal.ITIMER_REAL,2)
        env=c._compile_jinja_template(t)
        o=env.render(msgs=[{'role':'user','content':'Hi'},{'role':'assistant','content':'Yo </think> x'}])
        signal.setitimer(signal.ITIMER_REAL,0)
        if len(o)>20000: continue
        o.encode()
        res.append([t[len(PRE):],o])
    except TimeoutError: continue
    except UnicodeEncodeError: continue
    except (MemoryError,RecursionError): continue
    except Exception as x:
        signal.setitimer(signal.ITIMER_REAL,0)
        res.append([t[len(PRE):],{'err':type(x).__name__+': '+str(x)[:150]}])
json.dump({'pre':PRE,'cases':res},open(sys.argv[4] if len(sys.argv)>4 else 'fuzz.json','w'))
print(len(res),sum(isinstance(o,str) for _,o in res))
